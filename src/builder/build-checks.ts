// The build checks as part of a build: violations are warnings, and with `# check=error=true` they end it. Pure.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go (lint.Run, lint.Error)
import type { Platform } from '../descriptor.js'
import { BuildError } from '../errors.js'
import type { BuildFiles } from './build-files.js'
import { detectSyntax, lintDockerfile, locationOf, type Dockerfile } from './dockerfile/index.js'
import type { ResolvedSource, SourceResolver } from './op-factory.js'
import type { BuildListener } from './progress.js'

export interface CheckOptions {
  readonly target: string | undefined
  readonly buildArgs: ReadonlyMap<string, string>
  readonly platform: Platform | undefined
  readonly buildPlatform: Platform | undefined
  readonly sources: KnownSources
  readonly onEvent: BuildListener | undefined
}

/** @throws BuildError CHECK_FAILED when the file, or BUILDKIT_DOCKERFILE_CHECK, says that a violation is an error */
export function checkBuild({ dockerfile, text, ignore }: BuildFiles, options: CheckOptions): void {
  const { buildArgs, sources, onEvent } = options
  tellSyntax(dockerfile, buildArgs, onEvent)
  const report = lintDockerfile(text, {
    file: dockerfile.file,
    buildArgs,
    target: options.target === '' ? undefined : options.target,
    onlyNeeded: true,
    targetPlatform: options.platform,
    buildPlatform: options.buildPlatform,
    ignore,
    check: buildArgs.get('BUILDKIT_DOCKERFILE_CHECK'),
    images: (name) => sources.facts(name),
  })
  for (const { rule, detail, range } of report.warnings)
    onEvent?.({ kind: 'warning', code: rule, message: detail, location: locationOf(dockerfile, range) })
  // What is wrong at a place in the file is the planner's to say, and it has accepted the file.
  if (report.error === undefined || report.error.range !== undefined) return
  const range = report.warnings[0]?.range
  throw new BuildError('CHECK_FAILED', report.error.message, {
    location: range === undefined ? undefined : locationOf(dockerfile, range),
    data: { rules: [...new Set(report.warnings.map(({ rule }) => rule))] },
  })
}

/** The images of the front end that this one stands in for. */
const OWN_SYNTAX = /^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@]|$)/

/** A file for another front end is read as a Dockerfile all the same; that much is said. */
function tellSyntax(
  dockerfile: Dockerfile,
  buildArgs: ReadonlyMap<string, string>,
  onEvent: BuildListener | undefined,
): void {
  const syntax = buildArgs.get('BUILDKIT_SYNTAX') ?? detectSyntax(dockerfile.text)
  if (syntax === undefined || OWN_SYNTAX.test(syntax)) return
  const directive = dockerfile.directives.find(({ name }) => name === 'syntax')
  onEvent?.({
    kind: 'warning',
    code: 'SYNTAX_NOT_LOADED',
    message: `front end ${syntax} is not loaded: the file is read as a Dockerfile`,
    location: directive && locationOf(dockerfile, directive.range),
  })
}

/** Remembers what images were found by which name: what they set counts as defined. */
export class KnownSources implements SourceResolver {
  readonly #found = new Map<string, ResolvedSource>()

  constructor(private readonly sources: SourceResolver) {}

  facts(name: string) {
    const config = this.#found.get(name)?.config
    if (config === undefined) return undefined
    const { os, architecture, variant, config: run } = config
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) }
    return { env: run?.Env, shell: run?.Shell, onBuild: run?.OnBuild, platform }
  }

  async namedContext(name: string, platform: Platform): Promise<ResolvedSource | undefined> {
    const found = await this.sources.namedContext(name, platform)
    if (found !== undefined) this.#found.set(name, found)
    return found
  }

  async image(reference: string, platform: Platform): Promise<ResolvedSource> {
    const found = await this.sources.image(reference, platform)
    this.#found.set(reference, found)
    return found
  }
}
