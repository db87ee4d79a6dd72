// Text → one raw node per instruction: lines joined, comments dropped, arguments cut in the shape that each keyword has,
// here-documents read. What the arguments mean is decided in typed.ts, after the whole file has passed here: a file that cannot
// be cut is refused before one whose instructions make no sense, as in BuildKit.
// @see moby/buildkit frontend/dockerfile/parser/parser.go
import type { DockerfileError, SourceRange } from '../../errors.js'
import type { Directive, Escape, Heredoc, ParseWarning } from './ast.js'
import { DirectiveReader, isComment, stripBom } from './directives.js'
import { findHeredocs } from './heredoc.js'
import { isBlank, isSpace, LogicalLine, quote, skipSpaces, type SourceText, trim } from './text.js'
import { readJsonWords, splitBlanks, splitFlags, splitQuoted, type Word } from './words.js'

export interface RawNode {
  readonly keyword: string
  /** The logical line from the keyword on, ends untrimmed. */
  readonly original: string
  readonly flags: readonly Word[]
  readonly args: readonly string[]
  readonly json: boolean
  /** The instruction behind ONBUILD. */
  readonly child: RawNode | undefined
  readonly heredocs: readonly Heredoc[]
  readonly comments: readonly string[]
  readonly startLine: number
  readonly endLine: number
  readonly line: LogicalLine
  /** Offset of the keyword in `line.text`. Offsets of flags count from there, too. */
  readonly at: number
}

export interface RawDockerfile {
  readonly nodes: readonly RawNode[]
  readonly directives: readonly Directive[]
  readonly escape: Escape
  readonly warnings: readonly ParseWarning[]
}

/** bufio.MaxScanTokenSize - 1, in bytes of UTF-8. */
const LINE_BYTES_MAX = 65_535

const encoder = new TextEncoder()

/** @throws DockerfileError DOCKERFILE_SYNTAX | DIRECTIVE_INVALID | ARGUMENT_INVALID | HEREDOC_UNTERMINATED | EXPANSION_INVALID */
export function readNodes(source: SourceText): RawDockerfile {
  return new NodeReader(source).read()
}

class NodeReader {
  readonly #source: SourceText
  readonly #directives: DirectiveReader
  readonly #warnings: ParseWarning[] = []
  readonly #nodes: RawNode[] = []
  /** The number of the line that was read last. */
  #number = 0
  /** The first line that is too long; reading stops before it. */
  #tooLong = 0
  #comments: string[] = []

  constructor(source: SourceText) {
    this.#source = source
    this.#directives = new DirectiveReader(source)
  }

  read(): RawDockerfile {
    for (let line = this.#nextLine(); line !== undefined; line = this.#nextLine()) this.#readInstruction(line)
    if (this.#nodes.length === 0) {
      const range = this.#source.rangeOfLines(this.#number)
      throw this.#source.error('DOCKERFILE_SYNTAX', 'file with no instructions', range, {
        lines: [this.#number],
      })
    }
    if (this.#tooLong > 0) {
      const message = `dockerfile line greater than max allowed size of ${LINE_BYTES_MAX}`
      throw this.#source.error('DOCKERFILE_SYNTAX', message, this.#source.rangeOfLines(this.#tooLong), {
        lines: [this.#tooLong - 1],
      })
    }
    const { directives, escape } = this.#directives
    return { nodes: this.#nodes, directives, escape, warnings: this.#warnings }
  }

  /** The next line with its end; `undefined` at the end of the file and before a line that is too long. */
  #nextRawLine(): string | undefined {
    if (this.#tooLong > 0 || this.#number >= this.#source.lineCount) return undefined
    const line = this.#source.rawLine(this.#number + 1)
    if (line === '') return undefined
    if (line.length * 3 > LINE_BYTES_MAX) {
      const bytes = encoder.encode(line).length - (line.endsWith('\n') ? 1 : 0)
      if (bytes > LINE_BYTES_MAX) {
        this.#tooLong = this.#number + 1
        return undefined
      }
    }
    this.#number++
    return line
  }

  #nextLine(): string | undefined {
    const line = this.#nextRawLine()
    return line === undefined ? undefined : this.#source.line(this.#number)
  }

  #readInstruction(firstLine: string): void {
    const first = this.#number === 1 ? stripBom(firstLine) : firstLine
    const start = skipSpaces(first, 0)
    const stripped = first.slice(start)
    const comment = stripped.startsWith('#')
    const directive = this.#directives.read(stripped, this.#number)
    if (directive) return
    if (comment) {
      // The first character goes, whatever it is: an indented comment keeps its sign.
      const text = trim(first.slice(1))
      if (text === '') this.#comments = []
      else this.#comments.push(text)
      return
    }
    // Blank lines don't part a comment from the instruction below; an empty comment does.
    if (stripped === '') return
    this.#readNode(stripped, start + firstLine.length - first.length)
  }

  #readNode(first: string, column: number): void {
    const startLine = this.#number
    const line = new LogicalLine(this.#source)
    let end = this.#continuation(first)
    line.append(end === -1 ? first : first.slice(0, end), startLine, column + 1)
    let emptyLine = false
    while (end !== -1) {
      const next = this.#nextLine()
      if (next === undefined) break
      if (isComment(next)) continue
      if (skipSpaces(next, 0) === next.length) {
        emptyLine = true
        continue
      }
      end = this.#continuation(next)
      line.append(end === -1 ? next : next.slice(0, end), this.#number, 1)
    }
    if (emptyLine) this.#warnEmptyContinuation(line.text)
    line.lastLine = this.#number
    const node = this.#cut(line, 0, line.text.length, startLine)
    const heredocs = acceptsHeredocs(node) ? this.#readHeredocs(node) : []
    line.lastLine = this.#number
    this.#nodes.push({ ...node, heredocs, comments: this.#comments, endLine: this.#number })
    this.#comments = []
  }

  /**
   * Offset of the escape character that continues the line, or -1. It must be last but for blanks, and the character before
   * it must not be an escape character.
   */
  #continuation(line: string): number {
    let at = line.length - 1
    while (at >= 0 && (line[at] === ' ' || line[at] === '\t')) at--
    const { escape } = this.#directives
    return at >= 0 && line[at] === escape && line[at - 1] !== escape ? at : -1
  }

  #warnEmptyContinuation(text: string): void {
    this.#warnings.push({
      rule: 'NoEmptyContinuation',
      message: `Empty continuation line found in: ${text}`,
      range: this.#source.rangeOfLines(this.#number),
    })
  }

  #syntaxError(line: LogicalLine, message: string, from: number, to: number): DockerfileError {
    return line.error('DOCKERFILE_SYNTAX', message, from, to)
  }

  /** Cuts [from, to) of a logical line into keyword, flags and arguments. */
  #cut(line: LogicalLine, from: number, to: number, startLine: number): RawNode {
    const text = line.text
    const at = skipSpaces(text, from)
    while (to > at && isSpace(text.charCodeAt(to - 1))) to--
    let end = at
    while (end < to && !isBlank(text.charCodeAt(end))) end++
    const keyword = text.slice(at, end)
    let rest = end
    while (rest < to && isBlank(text.charCodeAt(rest))) rest++
    const split = splitFlags(text.slice(rest, to), this.#directives.escape)
    const flags = split.flags.map((flag) => ({
      text: flag.text,
      from: rest + flag.from,
      to: rest + flag.to,
    }))
    const argsAt = skipSpaces(text, rest + split.rest)
    const shape = argsAt < to ? this.#args(keyword, line, argsAt, to, startLine) : NO_ARGS
    return {
      keyword,
      original: text.slice(from),
      flags,
      args: shape.args,
      json: shape.json,
      child: shape.child,
      heredocs: [],
      comments: [],
      startLine,
      endLine: this.#number,
      line,
      at,
    }
  }

  /** The arguments in the shape of the keyword; those of an unknown keyword are dropped. */
  #args(keyword: string, line: LogicalLine, from: number, to: number, startLine: number): Args {
    const text = line.text.slice(from, to)
    switch (keyword.toLowerCase()) {
      case 'maintainer':
      case 'stopsignal':
      case 'user':
      case 'workdir':
        return plain([text])
      case 'expose':
      case 'from':
        return plain(splitBlanks(text).map((word) => word.text))
      case 'add':
      case 'copy':
      case 'volume':
        return this.#json(line, from, to) ?? plain(splitBlanks(text).map((word) => word.text))
      case 'cmd':
      case 'entrypoint':
      case 'run':
      case 'shell':
        return this.#json(line, from, to) ?? plain([text])
      case 'arg':
        return plain(splitQuoted(text, this.#directives.escape).map((word) => word.text))
      case 'env':
      case 'label':
        return this.#pairs(keyword.toUpperCase(), line, from, to)
      case 'healthcheck':
        return this.#healthcheck(line, from, to)
      case 'onbuild':
        return this.#onbuild(line, from, to, startLine)
      default:
        return NO_ARGS
    }
  }

  #onbuild(line: LogicalLine, from: number, to: number, startLine: number): Args {
    // ONBUILD in ONBUILD is refused later, whatever it holds; it is not cut, so that no depth exhausts the stack.
    const nested = /^onbuild(?:[\t\v\f\r ]|$)/i.test(line.text.slice(from, Math.min(to, from + 8)))
    if (nested) return plain([line.text.slice(from, from + 'onbuild'.length)])
    const child = this.#cut(line, from, to, startLine)
    return { args: [child.keyword, ...child.args], json: false, child }
  }

  #json(line: LogicalLine, from: number, to: number): Args | undefined {
    const words = readJsonWords(line.text.slice(from, to))
    if (words === undefined) return undefined
    if (words !== 'mixed') return { args: words, json: true, child: undefined }
    const message = 'when using JSON array syntax, arrays must be comprised of strings only'
    throw this.#syntaxError(line, message, from, to)
  }

  /** Triples key, value, delimiter; the delimiter is empty in the legacy form `KEY rest of the line`. */
  #pairs(name: string, line: LogicalLine, from: number, to: number): Args {
    const text = line.text.slice(from, to)
    const words = splitQuoted(text, this.#directives.escape)
    if (words.length === 0) return NO_ARGS
    if (!words[0]!.text.includes('=')) {
      const [key, value] = splitBlanks(text, 2)
      if (value !== undefined) return plain([key!.text, value.text, ''])
      throw line.error('ARGUMENT_INVALID', `${name} must have two arguments`, from, to)
    }
    return plain(
      words.flatMap((word) => {
        const at = word.text.indexOf('=')
        if (at !== -1) return [word.text.slice(0, at), word.text.slice(at + 1), '=']
        const message = `Syntax error - can't find = in ${quote(word.text)}. Must be of the form: name=value`
        throw this.#syntaxError(line, message, from + word.from, from + word.to)
      }),
    )
  }

  #healthcheck(line: LogicalLine, from: number, to: number): Args {
    let end = from
    while (end < to && !isSpace(line.text.charCodeAt(end))) end++
    const type = line.text.slice(from, end)
    const rest = skipSpaces(line.text, end)
    if (rest >= to) return plain([type])
    const command = this.#json(line, rest, to)
    if (command !== undefined) return { args: [type, ...command.args], json: true, child: undefined }
    return plain([type, line.text.slice(rest, to)])
  }

  #readHeredocs(node: RawNode): Heredoc[] {
    const { text } = node.line
    let starts
    try {
      starts = findHeredocs(text)
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      throw node.line.error('EXPANSION_INVALID', message, node.at, text.length, { cause })
    }
    return starts.map((start) => ({
      ...start,
      content: this.#readHeredocBody(node, start.name, start.chomp),
    }))
  }

  #readHeredocBody(node: RawNode, terminator: string, chomp: boolean): string {
    let content = ''
    for (let raw = this.#nextRawLine(); raw !== undefined; raw = this.#nextRawLine()) {
      const line = this.#source.line(this.#number)
      if ((chomp ? line.replace(/^\t+/, '') : line) === terminator) return content
      content += raw
    }
    const range = { start: node.line.position(node.at), end: this.#source.rangeOfLines(this.#number).end }
    throw this.#source.error('HEREDOC_UNTERMINATED', 'unterminated heredoc', range, { data: { terminator } })
  }
}

/** The whole of a node, from the line on which it starts even when its keyword stands further down. */
export function rangeOfNode(node: RawNode, source: SourceText): SourceRange {
  const keyword = node.line.position(node.at)
  const start = keyword.line === node.startLine ? keyword : source.rangeOfLines(node.startLine).start
  return { start, end: source.rangeOfLines(node.endLine).end }
}

interface Args {
  readonly args: readonly string[]
  readonly json: boolean
  readonly child: RawNode | undefined
}

const NO_ARGS: Args = { args: [], json: false, child: undefined }

function plain(args: readonly string[]): Args {
  return { args, json: false, child: undefined }
}

const WITH_HEREDOCS = new Set(['add', 'copy', 'run'])

function acceptsHeredocs(node: RawNode): boolean {
  const inner = node.keyword.toLowerCase() === 'onbuild' ? (node.child ?? node) : node
  return WITH_HEREDOCS.has(inner.keyword.toLowerCase()) && !inner.json
}
