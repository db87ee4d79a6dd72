// One raw node on its way to a typed instruction: its common part, arguments and flags, and errors that point into it.
import { DockerfileError, type DockerfileErrorCode, type SourceRange } from '../../errors.js'
import type { CommandLine, InstructionKind } from './ast.js'
import { findFlag, type FlagKind, type Flags, readFlags } from './flags.js'
import { ValueError } from './go-values.js'
import { type RawNode, rangeOfNode } from './nodes.js'
import { lineNumbers, type SourceText, trim } from './text.js'

export const NO_FLAGS: Readonly<Record<string, FlagKind>> = {}

export class InstructionReader {
  readonly node: RawNode
  readonly range: SourceRange
  readonly #source: SourceText

  constructor(node: RawNode, source: SourceText) {
    this.node = node
    this.#source = source
    this.range = rangeOfNode(node, source)
  }

  /** The common part. Completed by Object.assign: a spread into literals this wide took as long as all the rest of parsing. */
  base<Kind extends InstructionKind>(kind: Kind) {
    const { keyword, original, comments, flags, json, heredocs, line } = this.node
    return {
      kind,
      keyword,
      text: trim(original),
      range: this.range,
      comments,
      flags: flags.map((word) => {
        const at = word.text.indexOf('=')
        return {
          name: word.text.slice(2, at === -1 ? undefined : at),
          value: at === -1 ? undefined : word.text.slice(at + 1),
          range: line.range(word.from, word.to),
        }
      }),
      json,
      heredocs,
    }
  }

  /** The keyword as messages have it. */
  name(): string {
    return this.node.keyword.toUpperCase()
  }

  error(
    message: string,
    code: DockerfileErrorCode = 'ARGUMENT_INVALID',
    range = this.range,
  ): DockerfileError {
    const data = { instruction: this.node.keyword }
    const { startLine, endLine } = this.node
    const lines = range === this.range ? undefined : lineNumbers(startLine, endLine)
    return this.#source.error(code, message, range, { data, lines })
  }

  /** @throws DockerfileError UNKNOWN_FLAG | FLAG_INVALID */
  flags(known: Readonly<Record<string, FlagKind>>): Flags {
    return readFlags(this.node, known)
  }

  /** Reads the value of a flag; a ValueError becomes one that points at the flag. */
  flagValue<T>(name: string, index: number, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof ValueError)) throw error
      const word = findFlag(this.node, name, index)
      const range = word === undefined ? this.range : this.node.line.range(word.from, word.to)
      throw this.error(error.message, 'FLAG_INVALID', range)
    }
  }

  /** @throws DockerfileError ARGUMENT_INVALID */
  atLeastOne(): void {
    if (this.node.args.length === 0) throw this.error(`${this.name()} requires at least one argument`)
  }

  /** @throws DockerfileError ARGUMENT_INVALID */
  exactlyOne(): string {
    const [only, ...rest] = this.node.args
    if (only === undefined || rest.length > 0)
      throw this.error(`${this.name()} requires exactly one argument`)
    return only
  }

  /** One argument, no flags. */
  single(): string {
    const argument = this.exactlyOne()
    this.flags(NO_FLAGS)
    return argument
  }

  /** The arguments in exec form where they are a JSON list; else, joined, in shell form. */
  commandLine(args = this.node.args): CommandLine {
    if (this.node.json) return { form: 'exec', args }
    return { form: 'shell', args: args.length === 0 ? [] : [args.join(' ')] }
  }

  /** What a comment above the instruction says of a name: `# name text`. */
  comment(name: string): string | undefined {
    if (name === '') return undefined
    return this.node.comments.find((text) => text.startsWith(`${name} `))?.slice(name.length + 1)
  }
}
