// The flags of an instruction against those that it knows.
// @see moby/buildkit frontend/dockerfile/instructions/bflag.go
import type { RawNode } from './nodes.js'
import { suggestion } from './suggest.js'
import type { Word } from './words.js'

export type FlagKind = 'boolean' | 'string' | 'strings'

/** Values of the flags that are given. */
export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[]>

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values
  }

  /** Value of a string flag; an empty value counts as none, as in BuildKit. */
  string(name: string): string | undefined {
    return this.#values.get(name)?.[0] || undefined
  }

  strings(name: string): readonly string[] {
    return this.#values.get(name) ?? []
  }

  /** `undefined` when it is not given. */
  boolean(name: string): boolean | undefined {
    const value = this.#values.get(name)?.[0]
    return value === undefined ? undefined : value === 'true'
  }
}

/** @throws DockerfileError UNKNOWN_FLAG | FLAG_INVALID, pointing at the flag */
export function readFlags(node: RawNode, known: Readonly<Record<string, FlagKind>>): Flags {
  const values = new Map<string, string[]>()
  for (const word of node.flags) {
    const equals = word.text.indexOf('=')
    const written = equals === -1 ? word.text : word.text.slice(0, equals)
    const name = written.slice(2)
    const kind = Object.hasOwn(known, name) ? known[name] : undefined
    if (kind === undefined) {
      const hint = suggestion(name, Object.keys(known))
      throw flagError(node, word, 'UNKNOWN_FLAG', `unknown flag: ${written}${hint}`)
    }
    const earlier = values.get(name)
    if (earlier !== undefined && kind !== 'strings') {
      throw flagError(node, word, 'FLAG_INVALID', `duplicate flag specified: ${written}`)
    }
    const value = equals === -1 ? undefined : word.text.slice(equals + 1)
    const read = readValue(node, word, written, kind, value)
    if (earlier === undefined) values.set(name, [read])
    else earlier.push(read)
  }
  return new Flags(values)
}

function readValue(
  node: RawNode,
  word: Word,
  written: string,
  kind: FlagKind,
  value: string | undefined,
): string {
  if (kind === 'boolean') {
    if (value === '') throw flagError(node, word, 'FLAG_INVALID', `missing a value on flag: ${written}`)
    const lower = (value ?? 'true').toLowerCase()
    if (lower === 'true' || lower === 'false') return lower
    const message = `expecting boolean value for flag ${written}, not: ${value}`
    throw flagError(node, word, 'FLAG_INVALID', message)
  }
  if (value === undefined) throw flagError(node, word, 'FLAG_INVALID', `missing a value on flag: ${written}`)
  return value
}

/** An error that points at a flag. */
export function flagError(node: RawNode, word: Word, code: 'UNKNOWN_FLAG' | 'FLAG_INVALID', message: string) {
  const flag = word.text.split('=', 1)[0]
  return node.line.error(code, message, word.from, word.to, { data: { instruction: node.keyword, flag } })
}

/** The place of a flag that was given, for errors about its value. */
export function findFlag(node: RawNode, name: string, index = 0): Word | undefined {
  return node.flags.filter((word) => word.text === `--${name}` || word.text.startsWith(`--${name}=`))[index]
}
