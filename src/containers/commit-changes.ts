// Instructions that `commit` lays over the config of the image that it makes: docker's --change. Read and planned as those of
// a Dockerfile that starts from the image; nothing is run. Pure.
// @see moby/moby builder/dockerfile/builder.go BuildFromConfig, validCommitCommands
import { parseDockerfile, planBuild } from '../builder/index.js'
import { ContainerError } from '../errors.js'
import type { ContainerConfig, ImageConfig } from '../oci/index.js'

const ALLOWED: ReadonlySet<string> = new Set([
  'cmd',
  'entrypoint',
  'env',
  'expose',
  'healthcheck',
  'label',
  'onbuild',
  'stopsignal',
  'user',
  'volume',
  'workdir',
])

/** @throws ContainerError CHANGE_INVALID for an instruction that makes files; DockerfileError */
export async function changedConfig(
  image: ImageConfig,
  changes: readonly string[],
): Promise<ContainerConfig> {
  const dockerfile = parseDockerfile(['FROM image', ...changes].join('\n'), { file: '--change' })
  const [stage, ...more] = dockerfile.stages
  const wrong =
    stage!.instructions.find(({ kind }) => !ALLOWED.has(kind))?.kind ?? (more.length > 0 ? 'from' : undefined)
  if (wrong !== undefined) {
    throw new ContainerError(
      'CHANGE_INVALID',
      `${wrong.toUpperCase()} is no instruction that a commit can have`,
      {
        data: { instruction: wrong.toUpperCase() },
      },
    )
  }
  const nothing = { kind: 'scratch' as const, cacheMaps: () => [], run: () => Promise.resolve([]) }
  const op = () => nothing
  const plan = await planBuild(dockerfile, {
    ops: () => ({ file: op, run: op, http: op, git: op, merge: op, context: op }),
    sources: {
      namedContext: async () => undefined,
      image: async (name) => ({ name, op: undefined, config: image }),
    },
    platform: { os: image.os, architecture: image.architecture },
  })
  // Says how a builder read CMD; a commit is none, and docker's says nothing.
  const { ArgsEscaped: _, ...config } = plan.image.config
  return image.config?.ArgsEscaped === undefined
    ? config
    : { ...config, ArgsEscaped: image.config.ArgsEscaped }
}
