// test(1) and `[` as dash has them: what bash's own adds (`==`) is an error, what the shell's own lacks (-p, -S, -u …) works.
import { resolvePath } from '../resolve-path.js'
import { UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'

type Stat = ReturnType<AppletIO['fs']['statSync']>

const UNARY: Readonly<Record<string, (text: string, io: AppletIO) => boolean>> = {
  '-n': (text) => text !== '',
  '-z': (text) => text === '',
  '-e': (text, io) => statOf(text, io) !== undefined,
  '-a': (text, io) => statOf(text, io) !== undefined,
  '-f': (text, io) => statOf(text, io)?.isFile() === true,
  '-d': (text, io) => statOf(text, io)?.isDirectory() === true,
  '-p': (text, io) => statOf(text, io)?.isFIFO() === true,
  '-S': (text, io) => statOf(text, io)?.isSocket() === true,
  '-b': (text, io) => statOf(text, io)?.isBlockDevice() === true,
  '-c': (text, io) => text === '/dev/null' || statOf(text, io)?.isCharacterDevice() === true,
  '-h': (text, io) => isLink(text, io),
  '-L': (text, io) => isLink(text, io),
  '-s': (text, io) => (statOf(text, io)?.size ?? 0) > 0,
  '-u': (text, io) => (Number(statOf(text, io)?.mode ?? 0) & 0o4000) !== 0,
  '-g': (text, io) => (Number(statOf(text, io)?.mode ?? 0) & 0o2000) !== 0,
  '-k': (text, io) => (Number(statOf(text, io)?.mode ?? 0) & 0o1000) !== 0,
  '-O': (text, io) => statOf(text, io)?.uid === io.process.identity.uid,
  '-G': (text, io) => statOf(text, io)?.gid === io.process.identity.gid,
  '-r': (text, io) => isAccessible(text, io, 4),
  '-w': (text, io) => isAccessible(text, io, 2),
  '-x': (text, io) => isAccessible(text, io, 1),
  '-t': () => false,
}

const BINARY: Readonly<Record<string, (a: string, b: string, io: AppletIO) => boolean>> = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '-eq': (a, b) => integer(a) === integer(b),
  '-ne': (a, b) => integer(a) !== integer(b),
  '-lt': (a, b) => integer(a) < integer(b),
  '-le': (a, b) => integer(a) <= integer(b),
  '-gt': (a, b) => integer(a) > integer(b),
  '-ge': (a, b) => integer(a) >= integer(b),
  '-nt': (a, b, io) => (statOf(a, io)?.mtimeMs ?? -Infinity) > (statOf(b, io)?.mtimeMs ?? -Infinity),
  '-ot': (a, b, io) => (statOf(a, io)?.mtimeMs ?? -Infinity) < (statOf(b, io)?.mtimeMs ?? -Infinity),
  '-ef': (a, b, io) => {
    const [x, y] = [statOf(a, io), statOf(b, io)]
    return x !== undefined && x.ino === y?.ino && x.dev === y.dev
  },
}

function integer(text: string): number {
  if (!/^\s*[-+]?\d+\s*$/.test(text)) throw new UsageError(`Illegal number: ${text}`, 2)
  return Number(text)
}

function statOf(text: string, io: AppletIO): Stat | undefined {
  if (text === '') return undefined
  try {
    return io.fs.statSync(resolvePath(io.cwd, text), { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function isLink(text: string, io: AppletIO): boolean {
  try {
    return io.fs.lstatSync(resolvePath(io.cwd, text)).isSymbolicLink()
  } catch {
    return false
  }
}

function isAccessible(text: string, io: AppletIO, mode: number): boolean {
  try {
    io.fs.accessSync(resolvePath(io.cwd, text), mode)
    return text !== ''
  } catch {
    return false
  }
}

/** POSIX decides by the number of arguments; more than four are read as an expression with -a, -o, ! and parentheses. */
class Expression {
  readonly #words: readonly string[]
  readonly #io: AppletIO
  #at = 0

  constructor(words: readonly string[], io: AppletIO) {
    this.#words = words
    this.#io = io
  }

  value(): boolean {
    if (this.#words.length === 0) return false
    const value = this.#or()
    if (this.#at < this.#words.length)
      throw new UsageError(`${this.#words[this.#at]!}: unexpected operator`, 2)
    return value
  }

  #or(): boolean {
    let value = this.#and()
    while (this.#words[this.#at] === '-o') {
      this.#at++
      const right = this.#and()
      value ||= right
    }
    return value
  }

  #and(): boolean {
    let value = this.#not()
    while (this.#words[this.#at] === '-a') {
      this.#at++
      const right = this.#not()
      value &&= right
    }
    return value
  }

  #not(): boolean {
    const left = this.#words.length - this.#at
    if (
      this.#words[this.#at] === '!' &&
      left > 1 &&
      !(left === 3 && BINARY[this.#words[this.#at + 1]!] !== undefined)
    ) {
      this.#at++
      return !this.#not()
    }
    return this.#primary()
  }

  #primary(): boolean {
    const words = this.#words
    const [first, second, third] = words.slice(this.#at)
    if (first === undefined) throw new UsageError('argument expected', 2)
    const binary = second === undefined ? undefined : BINARY[second]
    if (binary !== undefined && third !== undefined) {
      this.#at += 3
      return binary(first, third, this.#io)
    }
    if (first === '(' && words.includes(')', this.#at + 1)) {
      this.#at++
      const value = this.#or()
      if (words[this.#at++] !== ')') throw new UsageError('closing paren expected', 2)
      return value
    }
    const unary = UNARY[first]
    if (unary !== undefined && second !== undefined && second !== '-a' && second !== '-o') {
      this.#at += 2
      return unary(second, this.#io)
    }
    this.#at++
    return first !== ''
  }
}

export const test: Applet = (args, io) => (new Expression(args, io).value() ? 0 : 1)

export const bracket: Applet = (args, io) => {
  if (args.at(-1) !== ']') throw new UsageError('missing ]', 2)
  return new Expression(args.slice(0, -1), io).value() ? 0 : 1
}
