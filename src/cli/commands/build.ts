import { join } from 'node:path'
import {
  build,
  type BaseImageFacts,
  type BuildOptions,
  type BuildResult,
  type BuildTexts,
  type StepReport,
} from 'lamella/builder'
import { writeFileWhole } from 'lamella/store'
import { buildOptions, dockerfile, isRemote, pairs, platform } from '../build-options.js'
import { LIMIT_OPTIONS } from '../limits.js'
import { STORE, UsageError, type Arguments, type Command, type Io } from '../command.js'
import { createRenderer, PROGRESS_KINDS, type ProgressKind } from '../render/renderer.js'
import { openStore } from '../store.js'

function progressKind(args: Arguments): ProgressKind {
  if (args.flag('quiet')) return 'quiet'
  const text = args.string('progress') ?? 'auto'
  const known = PROGRESS_KINDS.find((kind) => kind === text)
  if (known !== undefined) return known
  throw new UsageError(`--progress ${text}: expected one of ${PROGRESS_KINDS.join(', ')}`)
}

/** Files about the build, as buildx writes them: the image's id is the digest of its config. */
async function writeResults(args: Arguments, result: BuildResult): Promise<void> {
  const iidfile = args.string('iidfile')
  if (iidfile !== undefined) await writeFileWhole(iidfile, [Buffer.from(result.configDigest)])
  const metadata = args.string('metadata-file')
  if (metadata !== undefined) await writeFileWhole(metadata, [Buffer.from(await metadataOf(result))])
}

/** The fields of buildx's metadata file; of several outputs, the last image's. */
async function metadataOf({ image, config, configDigest, names, exports }: BuildResult): Promise<string> {
  const { fullRefName, formatDocument } = await import('lamella/oci')
  const { os, architecture, variant } = config
  const platform = { architecture, os, ...(variant === undefined ? {} : { variant }) }
  const { descriptor, names: full } = exports.at(-1) ?? {
    descriptor: { ...image, platform },
    names: names.map(fullRefName),
  }
  return formatDocument({
    'containerimage.config.digest': configDigest,
    'containerimage.descriptor': descriptor,
    'containerimage.digest': descriptor.digest,
    ...(full.length === 0 ? {} : { 'image.name': full.join(',') }),
  })
}

/** An archive on stdout leaves no room for the digest. */
function writesToStdout({ outputs = [] }: BuildOptions): boolean {
  return outputs.some((output) => 'dest' in output && typeof output.dest === 'function')
}

async function explain(
  steps: readonly StepReport[],
  settings: BuildOptions,
  args: Arguments,
  io: Io,
): Promise<void> {
  const { buildScope, explainSteps, formatExplanations } = await import('lamella/builder')
  const explanations = explainSteps(steps, { store: settings.store, scope: buildScope(settings) })
  await io.write(
    args.flag('json') ? JSON.stringify(explanations, undefined, 2) + '\n' : formatExplanations(explanations),
  )
}

const CALLS = ['build', 'check', 'outline', 'targets'] as const

interface Call {
  readonly method: (typeof CALLS)[number]
  readonly json: boolean
}

/** `--call=METHOD[,format=json]`, and `--check` for short. */
function callOf(args: Arguments): Call {
  const text = args.string('call') ?? (args.flag('check') ? 'check' : 'build')
  const [name, ...rest] = text.split(',')
  const method = CALLS.find((each) => each === name)
  if (method === undefined) throw new UsageError(`--call ${text}: expected one of ${CALLS.join(', ')}`)
  const format = rest.map((field) => /^format=(json|text)$/.exec(field)?.[1])
  if (format.includes(undefined)) throw new UsageError(`--call ${text}: expected format=json or format=text`)
  return { method, json: args.flag('json') || format.at(-1) === 'json' }
}

/** Prints what is asked about the Dockerfile, as `docker build --call` does; builds nothing. */
async function answer({ method, json }: Call, args: Arguments, io: Io): Promise<number> {
  const language = await import('lamella/builder')
  const { text, name, ignore } = await buildTexts(args, io)
  const print = (output: string): Promise<void> => io.write(json ? `${output}\n` : `\n${output}`)
  if (method === 'targets') {
    const parsed = language.parseDockerfile(text, { file: name })
    await print(json ? language.formatTargetsJson(parsed) : language.formatTargets(parsed))
    return 0
  }
  const images = await baseImages(text, args, io)
  const buildArgs = new Map(Object.entries(pairs(args, 'build-arg', io.env)))
  const options = {
    file: name,
    buildArgs,
    target: args.string('target'),
    ignore,
    targetPlatform: platform(args).platform,
    check: buildArgs.get('BUILDKIT_DOCKERFILE_CHECK'),
    images: (image: string) => images.get(image),
  }
  if (method === 'outline') {
    const outline = language.outlineDockerfile(text, options)
    await print(json ? language.formatOutlineJson(outline) : language.formatOutline(outline))
    return 0
  }
  const found = language.lintDockerfile(text, options)
  const report = json ? found : { ...found, file: shownName(args, name) }
  await print(json ? language.formatChecksJson(report) : language.formatWarnings(report))
  if (report.error !== undefined) io.note(language.formatCheckError(report))
  // As `docker build --check`, whose status is that of the lint request.
  return report.error === undefined && report.warnings.length === 0 ? 0 : 1
}

/** The Dockerfile as a person finds it from here; JSON has its base name. @see docker/buildx DockerfileMappingDst */
function shownName(args: Arguments, name: string): string {
  const operand = args.operands[0]!
  const file = args.string('file')
  if (operand === '-' || isRemote(operand)) return name
  return file === undefined ? join(operand, 'Dockerfile') : file === '-' ? 'stdin' : file
}

/** What is to be checked. A git repository is checked out into the store, and a URL fetched. */
async function buildTexts(args: Arguments, io: Io): Promise<BuildTexts> {
  const { readBuildTexts, resolveContext } = await import('lamella/builder')
  const operand = args.operands[0]!
  const file = await dockerfile(args, io)
  if (!isRemote(operand)) return readBuildTexts({ context: operand, ...file })
  await using store = await openStore(args, io, { create: true })
  const context = (await resolveContext(operand, { store, signal: io.signal })) ?? operand
  return readBuildTexts({ context, ...file })
}

/** What the images that FROM names set, as far as the store has them: their variables count as defined. */
async function baseImages(text: string | Uint8Array, args: Arguments, io: Io) {
  const { parseDockerfile } = await import('lamella/builder')
  const { readImage, resolveImage } = await import('lamella/oci')
  const facts = new Map<string, BaseImageFacts>()
  try {
    await using store = await openStore(args, io)
    for (const { from } of parseDockerfile(text).stages) {
      const found = await resolveImage(store, from.image).then(
        (descriptor) => readImage(store.blobs, descriptor),
        () => undefined,
      )
      if (found === undefined) continue
      const { os, architecture, config } = found.config
      const platform = { os, architecture }
      facts.set(from.image, { env: config?.Env, shell: config?.Shell, onBuild: config?.OnBuild, platform })
    }
  } catch {
    // No store, or a file that does not parse: the checks tell what can be told without.
  }
  return facts
}

export const command: Command = {
  name: 'build',
  summary: 'build an image from a Dockerfile',
  synopsis: '[options] CONTEXT',
  description:
    'Steps are cached under the keys that BuildKit gives them. The digest of the image goes to stdout, progress to stderr.\n' +
    "RUN is carried out by an executor: a sandbox with the image's own binaries (Linux), where this machine can run one,\n" +
    'else the in-process shell (just-bash, when it is installed). CONTEXT is a folder; a git repository, as\n' +
    'https://host/repo.git#REF:DIR or git@host:repo?ref=REF&subdir=DIR; the URL of an archive or of a Dockerfile;\n' +
    'or - for stdin: a tar, or a Dockerfile alone.',
  options: [
    { name: 'tag', short: 't', value: 'NAME', multiple: true, help: 'name the image; may be repeated' },
    {
      name: 'file',
      short: 'f',
      value: 'FILE',
      help: 'the Dockerfile (default: CONTEXT/Dockerfile); - is stdin',
    },
    { name: 'target', value: 'STAGE', help: 'the stage to build (default: the last)' },
    { name: 'build-arg', value: 'NAME[=VALUE]', multiple: true, help: 'set an ARG' },
    {
      name: 'build-context',
      value: 'NAME=PATH',
      multiple: true,
      help: 'a further context: a folder, a git URL, oci-layout://PATH or docker-image://NAME',
    },
    { name: 'label', value: 'NAME=VALUE', multiple: true, help: 'add a label' },
    { name: 'platform', value: 'OS/ARCH', help: 'what the image is for (default: linux/amd64)' },
    { name: 'no-cache', help: 'look nothing up in the cache' },
    { name: 'no-cache-filter', value: 'STAGE', multiple: true, help: 'look nothing up for this stage' },
    {
      name: 'output',
      short: 'o',
      value: 'SPEC',
      multiple: true,
      help: 'type=oci|docker|tar|local,dest=PATH; a path alone is a folder, - a tar on stdout',
    },
    {
      name: 'annotation',
      value: '[TYPE:]NAME=VALUE',
      multiple: true,
      help: 'add an annotation to the manifest, or to its descriptor (manifest-descriptor)',
    },
    {
      name: 'cache-from',
      value: 'SPEC',
      multiple: true,
      help: "type=local,src=DIR, or an image's name for its inline cache",
    },
    {
      name: 'cache-to',
      value: 'SPEC',
      multiple: true,
      help: 'type=local,dest=DIR[,mode=max], or type=inline',
    },
    { name: 'network', value: 'MODE', help: 'of RUN: default, none or host' },
    { name: 'add-host', value: 'NAME:ADDRESS', multiple: true, help: 'a name that RUN can resolve' },
    {
      name: 'executor',
      value: 'KIND',
      multiple: true,
      help: 'auto (default), sandbox, shell, replay:IMAGE, none, or the path of a module that exports one',
    },
    {
      name: 'secret',
      value: 'id=NAME,src=FILE',
      multiple: true,
      help: 'a secret for RUN --mount=type=secret; or env=VARIABLE',
    },
    {
      name: 'ssh',
      value: 'ID[=SOCKET|KEY,…]',
      multiple: true,
      help: 'an SSH agent, or keys, for RUN --mount=type=ssh; `default` alone is the one of SSH_AUTH_SOCK',
    },
    ...LIMIT_OPTIONS,
    {
      name: 'source-date-epoch',
      value: 'SECONDS',
      help: 'the time of all that is made (default: $SOURCE_DATE_EPOCH)',
    },
    { name: 'rewrite-timestamp', help: 'with it, no file in a new layer is younger' },
    { name: 'progress', value: 'KIND', help: 'auto (default), plain, tty, json or quiet' },
    { name: 'quiet', short: 'q', help: "print the image's id only: the digest of its config" },
    { name: 'explain', help: 'say for each step why it was a hit or a miss' },
    { name: 'dry-run', help: 'predict hits and misses; run and write nothing' },
    {
      name: 'call',
      value: 'METHOD[,format=json]',
      help: 'build nothing: check the Dockerfile (check), list what it takes (outline) or its stages (targets)',
    },
    { name: 'check', help: 'short for --call=check' },
    { name: 'json', help: 'with --call, --check, --explain or --dry-run: print JSON' },
    { name: 'iidfile', value: 'FILE', help: "write the image's id there" },
    { name: 'metadata-file', value: 'FILE', help: 'write what was built there, as JSON' },
    STORE,
  ],
  examples: ['lamella build -t app .', 'lamella build -f Dockerfile.prod --build-arg VERSION=3 -t app:3 .'],
  operands: [1, 1],
  async run(args, io) {
    const call = callOf(args)
    if (call.method !== 'build') return answer(call, args, io)
    await using store = await openStore(args, io, { create: !args.flag('dry-run') })
    const settings = await buildOptions(args, io, store)
    if (args.flag('dry-run')) {
      const { predictBuild } = await import('lamella/builder')
      await explain(await predictBuild(settings), settings, args, io)
      return 0
    }
    const renderer = await createRenderer(progressKind(args), io)
    let result: BuildResult
    try {
      result = await build({ ...settings, onEvent: (event) => renderer.onEvent(event) })
    } catch (error) {
      const { reportBuildError } = await import('../build-errors.js')
      await reportBuildError(error, settings)
      throw error
    } finally {
      renderer.finish()
    }
    await writeResults(args, result)
    if (args.flag('explain')) await explain(result.steps, settings, args, io)
    else if (!writesToStdout(settings)) {
      // Quiet, it is what `docker build -q` prints: the image's id.
      await io.write(`${args.flag('quiet') ? result.configDigest : result.image.digest}\n`)
    }
    return 0
  },
}
