// The arguments before the first FROM, with the automatic ones, and the checks of what FROM makes of them.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/{convert.go buildMetaArgs buildDispatchStates, platform.go defaultArgs}
import type { Platform } from '../../../descriptor.js'
import { DockerfileError } from '../../../errors.js'
import type { ArgInstruction, Dockerfile, FromInstruction } from '../ast.js'
import { type Expansion, expandWord, unsetIn } from '../expand.js'
import { isImageName } from '../image-name.js'
import { locationOf } from '../parse.js'
import { formatPlatform, parsePlatform } from '../platform.js'
import { suggest, suggestion } from '../suggest.js'
import type { Linter } from './linter.js'
import type { ArgInfo } from './outline.js'

export interface BuildInputs {
  readonly buildArgs: ReadonlyMap<string, string>
  readonly target: string | undefined
  readonly targetPlatform: Platform
  readonly buildPlatform: Platform
}

/** The automatic arguments of the global scope. */
export function automaticArgs(dockerfile: Dockerfile, inputs: BuildInputs): Map<string, string> {
  const { buildPlatform: build, targetPlatform: target, buildArgs } = inputs
  const stage = inputs.target ?? dockerfile.stages.at(-1)?.name ?? 'default'
  const args: [string, string][] = [
    ['BUILDPLATFORM', formatPlatform(build)],
    ['BUILDOS', build.os],
    ['BUILDOSVERSION', build['os.version'] ?? ''],
    ['BUILDARCH', build.architecture],
    ['BUILDVARIANT', build.variant ?? ''],
    ['TARGETPLATFORM', formatPlatform(target)],
    ['TARGETOS', target.os],
    ['TARGETOSVERSION', target['os.version'] ?? ''],
    ['TARGETARCH', target.architecture],
    ['TARGETVARIANT', target.variant ?? ''],
    ['TARGETSTAGE', stage],
  ]
  return new Map(args.map(([name, value]) => [name, buildArgs.get(name) ?? value]))
}

export interface GlobalArgs {
  readonly values: ReadonlyMap<string, string>
  /** Declared or automatic, with or without a value. */
  readonly names: ReadonlySet<string>
  readonly infos: ReadonlyMap<string, ArgInfo>
}

/** @throws DockerfileError EXPANSION_INVALID */
export function globalArgs(
  dockerfile: Dockerfile,
  automatic: ReadonlyMap<string, string>,
  buildArgs: ReadonlyMap<string, string>,
): GlobalArgs {
  const values = new Map(automatic)
  const names = new Set(automatic.keys())
  const infos = new Map<string, ArgInfo>()
  for (const instruction of dockerfile.globalArgs) {
    for (const { name, value, description } of instruction.args) {
      names.add(name)
      const given = buildArgs.get(name)
      const own = given === undefined ? expandDefault(dockerfile, instruction, value, values) : undefined
      const result = given ?? own?.value
      // What an argument's earlier value was made of counts when the new one holds it.
      const from = new Set(own?.used)
      if (from.delete(name)) for (const source of infos.get(name)?.from ?? []) from.add(source)
      infos.set(name, { name, description, value: result, range: instruction.range, from })
      if (result !== undefined) values.set(name, result)
    }
  }
  return { values, names, infos }
}

function expandDefault(
  dockerfile: Dockerfile,
  instruction: ArgInstruction,
  value: string | undefined,
  env: ReadonlyMap<string, string>,
): Expansion | undefined {
  if (value === undefined) return undefined
  return expandWord(value, env, { escape: dockerfile.escape, at: locationOf(dockerfile, instruction) })
}

/** FROM with the defaults alone must still name an image. Stops at the first fault in an expansion: it is told elsewhere. */
export function checkDefaultImages(
  dockerfile: Dockerfile,
  automatic: ReadonlyMap<string, string>,
  linter: Linter,
): void {
  try {
    const { values } = globalArgs(dockerfile, automatic, new Map())
    for (const { from } of dockerfile.stages) {
      const image = expandWord(from.image, values, { escape: dockerfile.escape }).value
      if (!isImageName(image)) linter.report('InvalidDefaultArgInFrom', from.range, from.image)
    }
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
  }
}

export interface ResolvedFrom {
  readonly image: string
  readonly platform: Platform | undefined
  /** Arguments that it was made of. */
  readonly used: ReadonlySet<string>
}

/** Expands FROM and checks its variables. @throws DockerfileError EXPANSION_INVALID | ARGUMENT_INVALID */
export function checkFrom(
  dockerfile: Dockerfile,
  from: FromInstruction,
  args: GlobalArgs,
  inputs: BuildInputs,
  linter: Linter,
): ResolvedFrom {
  const local = linter.forComments(from.comments)
  const at = locationOf(dockerfile, from)
  const options = { escape: dockerfile.escape, at }
  const image = declaring(from, args, local, () => expandWord(from.image, args.values, options))
  if (image.value === '') {
    throw new DockerfileError('ARGUMENT_INVALID', `base name (${from.image}) should not be blank`, at)
  }
  if (from.platform === undefined) return { image: image.value, platform: undefined, used: image.used }
  const platform = declaring(from, args, local, () => expandPlatform(from.platform!, args, options))
  checkRedundantPlatform(from, platform, args, local)
  checkConstantPlatform(from, platform, inputs, local)
  const hint =
    [...platform.unset].map((name) => suggestion(name, args.values.keys())).find((text) => text !== '') ?? ''
  if (platform.value === '') {
    throw new DockerfileError(
      'ARGUMENT_INVALID',
      `empty platform value from expression ${from.platform}${hint}`,
      at,
    )
  }
  return {
    image: image.value,
    platform: parsePlatformOf(from.platform, platform.value, hint, inputs, at),
    used: new Set([...image.used, ...platform.used]),
  }
}

function parsePlatformOf(
  expression: string,
  value: string,
  hint: string,
  inputs: BuildInputs,
  at: ReturnType<typeof locationOf>,
): Platform {
  try {
    return parsePlatform(value, at, inputs.buildPlatform)
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    const reason = error.message.slice(`failed to parse platform ${value}: `.length)
    throw new DockerfileError(
      'ARGUMENT_INVALID',
      `failed to parse platform ${expression}: ${reason}${hint}`,
      at,
    )
  }
}

function expandPlatform(
  text: string,
  args: GlobalArgs,
  options: Parameters<typeof expandWord>[2],
): Expansion {
  try {
    return expandWord(text, args.values, options)
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    const message = `failed to process arguments for platform : ${error.message}`
    throw new DockerfileError(error.code, message, error.location, { data: error.data, cause: error })
  }
}

/** Expands and tells what was looked up and is not declared, also when the expansion fails. */
function declaring(
  from: FromInstruction,
  args: GlobalArgs,
  linter: Linter,
  expand: () => Expansion,
): Expansion {
  try {
    const expansion = expand()
    checkDeclared(from, expansion.unset, args, linter)
    return expansion
  } catch (error) {
    checkDeclared(from, unsetIn(error), args, linter)
    throw error
  }
}

function checkDeclared(
  from: FromInstruction,
  unset: Iterable<string>,
  args: GlobalArgs,
  linter: Linter,
): void {
  for (const name of unset) {
    if (args.names.has(name)) continue
    linter.report('UndefinedArgInFrom', from.range, name, suggest(name, args.names) ?? '')
  }
}

function checkRedundantPlatform(
  from: FromInstruction,
  platform: Expansion,
  args: GlobalArgs,
  linter: Linter,
): void {
  const only = platform.used.size === 1 && platform.unset.size === 0 && platform.used.has('TARGETPLATFORM')
  if (only && platform.value === args.values.get('TARGETPLATFORM')) {
    linter.report('RedundantTargetPlatform', from.range, from.platform!)
  }
}

/** A constant is fine when the stage's name says it, as in `AS build-arm64`. */
function checkConstantPlatform(
  from: FromInstruction,
  platform: Expansion,
  inputs: BuildInputs,
  linter: Linter,
): void {
  if (platform.used.size > 0 || platform.unset.size > 0) return
  let parsed: Platform
  try {
    parsed = parsePlatform(platform.value, undefined, inputs.buildPlatform)
  } catch {
    return
  }
  const name = from.name ?? ''
  if (name.includes(parsed.os) || name.includes(parsed.architecture)) return
  linter.report('FromPlatformFlagConstDisallowed', from.range, platform.value)
}
