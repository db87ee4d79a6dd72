// find(1): the expression as a tree of predicates, walked over the file system. GNU findutils 4.9.
import type { Stats } from 'node:fs'
import { errorText, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { globToRegExp } from './glob.js'
import { baseName, dirName, joinName, parseMode } from './shared.js'
import { accountNames, modeText, typeLetter } from './stat.js'

interface Found {
  /** As it is printed: the operand and what follows. */
  readonly shown: string
  readonly path: string
  readonly stat: Stats
  readonly depth: number
}

interface Walk {
  readonly io: AppletIO
  maxDepth: number
  minDepth: number
  depthFirst: boolean
  follow: boolean
  prune: boolean
  quit: boolean
  code: number
  /** Paths that wait for `-exec … +`. */
  readonly batches: { readonly command: readonly string[]; readonly paths: string[] }[]
}

type Test = (found: Found, walk: Walk) => boolean | Promise<boolean>

class Parser {
  readonly #words: readonly string[]
  readonly #walk: Walk
  #at = 0
  /** Whether an action stands in the expression, so that -print is not implied. */
  hasAction = false

  constructor(words: readonly string[], walk: Walk) {
    this.#words = words
    this.#walk = walk
  }

  parse(): Test {
    if (this.#words.length === 0) return () => true
    const test = this.#or()
    if (this.#at < this.#words.length) throw new UsageError(`unexpected argument '${this.#words[this.#at]!}'`)
    return test
  }

  #or(): Test {
    let left = this.#and()
    while (this.#take('-o', '-or')) {
      const [a, b] = [left, this.#and()]
      left = async (found, walk) => (await a(found, walk)) || b(found, walk)
    }
    return left
  }

  #and(): Test {
    let left = this.#not()
    for (;;) {
      const next = this.#words[this.#at]
      if (next === undefined || next === ')' || next === '-o' || next === '-or') return left
      this.#take('-a', '-and')
      const [a, b] = [left, this.#not()]
      left = async (found, walk) => (await a(found, walk)) && b(found, walk)
    }
  }

  #not(): Test {
    if (this.#take('!', '-not')) {
      const test = this.#not()
      return async (found, walk) => !(await test(found, walk))
    }
    if (this.#take('(')) {
      const test = this.#or()
      if (!this.#take(')')) throw new UsageError("missing ')'")
      return test
    }
    return this.#primary()
  }

  #take(...words: string[]): boolean {
    if (!words.includes(this.#words[this.#at] ?? '')) return false
    this.#at++
    return true
  }

  #value(name: string): string {
    const value = this.#words[this.#at++]
    if (value === undefined) throw new UsageError(`missing argument to '${name}'`)
    return value
  }

  #primary(): Test {
    const name = this.#words[this.#at++]
    if (name === undefined) throw new UsageError('expected an expression')
    const plain = PLAIN[name]
    if (plain !== undefined) {
      if (ACTIONS.has(name)) this.hasAction = true
      if (name === '-delete') this.#walk.depthFirst = true
      return plain
    }
    if (name === '-exec' || name === '-execdir' || name === '-ok') return this.#exec()
    if (name === '-printf') {
      this.hasAction = true
      const format = this.#value(name)
      return (found, walk) => print(walk, formatFound(format, found, walk.io))
    }
    const make = WITH_VALUE[name]
    if (make === undefined) throw new UsageError(`unknown predicate '${name}'`)
    return make(this.#value(name), this.#walk)
  }

  #exec(): Test {
    this.hasAction = true
    const command: string[] = []
    for (;;) {
      const word = this.#value('-exec')
      if (word === ';') break
      if (word === '+' && command.at(-1) === '{}') {
        const batch = { command: command.slice(0, -1), paths: [] as string[] }
        this.#walk.batches.push(batch)
        return ({ shown }) => {
          batch.paths.push(shown)
          return true
        }
      }
      command.push(word)
    }
    return async ({ shown }, { io }) =>
      (await io.exec(command.map((word) => word.replaceAll('{}', () => shown)))) === 0
  }
}

function print(walk: Walk, text: string): true {
  walk.io.out(text)
  return true
}

const ACTIONS = new Set(['-print', '-print0', '-delete', '-ls', '-quit'])

const PLAIN: Readonly<Record<string, Test>> = {
  '-print': ({ shown }, walk) => print(walk, `${shown}\n`),
  '-print0': ({ shown }, walk) => print(walk, `${shown}\0`),
  '-ls': (found, walk) => print(walk, formatFound('%i %k %M %n %u %g %s %t %p\\n', found, walk.io)),
  '-delete': removeFound,
  '-prune': (_, walk) => (walk.prune = true),
  '-quit': (_, walk) => (walk.quit = true),
  '-true': () => true,
  '-false': () => false,
  '-empty': ({ stat, path }, { io }) =>
    stat.isDirectory() ? io.fs.readdirSync(path).length === 0 : stat.isFile() && stat.size === 0,
  '-readable': ({ path }, { io }) => isAccessible(io, path, 4),
  '-writable': ({ path }, { io }) => isAccessible(io, path, 2),
  '-executable': ({ path }, { io }) => isAccessible(io, path, 1),
  '-nouser': ({ stat }, { io }) => accountNames(io).user(stat.uid) === undefined,
  '-nogroup': ({ stat }, { io }) => accountNames(io).group(stat.gid) === undefined,
  '-depth': () => true,
  '-xdev': () => true,
  '-mount': () => true,
}

function isAccessible(io: AppletIO, path: string, mode: number): boolean {
  try {
    io.fs.accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

function removeFound({ path, stat, shown }: Found, walk: Walk): boolean {
  try {
    if (stat.isDirectory()) walk.io.fs.rmdirSync(path)
    else walk.io.fs.unlinkSync(path)
    return true
  } catch (error) {
    walk.io.warn(`cannot delete '${shown}': ${errorText(error)}`)
    walk.code = 1
    return false
  }
}

/** `+n` more than, `-n` less than, `n` exactly. */
function comparison(text: string): (value: number) => boolean {
  const number = Number(text.replace(/^[+-]/, ''))
  if (Number.isNaN(number)) throw new UsageError(`invalid argument '${text}'`)
  if (text.startsWith('+')) return (value) => value > number
  if (text.startsWith('-')) return (value) => value < number
  return (value) => value === number
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  c: 1,
  w: 2,
  b: 512,
  k: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
}

function sizeTest(text: string): Test {
  const unit = SIZE_UNITS[text.at(-1)!]
  const compare = comparison(unit === undefined ? text : text.slice(0, -1))
  return ({ stat }) => compare(Math.ceil(stat.size / (unit ?? 512)))
}

function permissionTest(text: string): Test {
  const how = /^[-/]/.exec(text)?.[0]
  const wanted = parseMode(how === undefined ? text : text.slice(1), 0, false, 0)
  return ({ stat: { mode } }) => {
    if (how === undefined) return (mode & 0o7777) === wanted
    return how === '-' ? (mode & wanted) === wanted : wanted === 0 || (mode & wanted) !== 0
  }
}

const nameTest = (pattern: string, flags: string): Test => {
  const regExp = globToRegExp(pattern, flags)
  return ({ shown }) => regExp.test(baseName(shown))
}

function ownerTest(text: string, kind: 'user' | 'group'): Test {
  return ({ stat }, { io }) => {
    const id = kind === 'user' ? stat.uid : stat.gid
    return String(id) === text || accountNames(io)[kind](id) === text
  }
}

const ageTest = (text: string, unitMs: number, of: (stat: Stats) => number): Test => {
  const compare = comparison(text)
  const now = Date.now()
  return ({ stat }) => compare(Math.floor((now - of(stat)) / unitMs))
}

const DAY_MS = 86_400_000

const WITH_VALUE: Readonly<Record<string, (value: string, walk: Walk) => Test>> = {
  '-name': (value) => nameTest(value, ''),
  '-iname': (value) => nameTest(value, 'i'),
  '-path': (value) => pathTest(globToRegExp(value, 's')),
  '-wholename': (value) => pathTest(globToRegExp(value, 's')),
  '-ipath': (value) => pathTest(globToRegExp(value, 'is')),
  '-regex': (value) =>
    pathTest(
      new RegExp(`^(?:${value.replaceAll('\\(', '(').replaceAll('\\)', ')').replaceAll('\\|', '|')})$`, 's'),
    ),
  '-iregex': (value) =>
    pathTest(
      new RegExp(`^(?:${value.replaceAll('\\(', '(').replaceAll('\\)', ')').replaceAll('\\|', '|')})$`, 'is'),
    ),
  '-regextype': () => () => true,
  '-type': (value) => {
    const letters = value.split(',').map((letter) => (letter === 'f' ? '-' : letter))
    const unknown = letters.find((letter) => !'-dlpscb'.includes(letter))
    if (unknown !== undefined) throw new UsageError(`unknown argument to -type: ${unknown}`)
    return ({ stat }) => letters.includes(typeLetter(stat))
  },
  '-size': sizeTest,
  '-perm': permissionTest,
  '-user': (value) => ownerTest(value, 'user'),
  '-uid': (value) => ownerTest(value, 'user'),
  '-group': (value) => ownerTest(value, 'group'),
  '-gid': (value) => ownerTest(value, 'group'),
  '-links': (value) => {
    const compare = comparison(value)
    return ({ stat }) => compare(stat.nlink)
  },
  '-inum': (value) => {
    const compare = comparison(value)
    return ({ stat }) => compare(stat.ino)
  },
  '-newer': (value, { io }) => {
    const { mtimeMs } = io.fs.statSync(io.path(value))
    return ({ stat }) => stat.mtimeMs > mtimeMs
  },
  '-samefile': (value, { io }) => {
    const other = io.fs.statSync(io.path(value))
    return ({ stat }) => stat.ino === other.ino && stat.dev === other.dev
  },
  '-lname': (value) => {
    const regExp = globToRegExp(value, 's')
    return ({ stat, path }, { io }) => stat.isSymbolicLink() && regExp.test(io.fs.readlinkSync(path))
  },
  '-mtime': (value) => ageTest(value, DAY_MS, (stat) => stat.mtimeMs),
  '-atime': (value) => ageTest(value, DAY_MS, (stat) => stat.atimeMs),
  '-ctime': (value) => ageTest(value, DAY_MS, (stat) => stat.ctimeMs),
  '-mmin': (value) => ageTest(value, 60_000, (stat) => stat.mtimeMs),
  '-maxdepth': (value, walk) => {
    walk.maxDepth = Number(value)
    return () => true
  },
  '-mindepth': (value, walk) => {
    walk.minDepth = Number(value)
    return () => true
  },
}

const pathTest =
  (regExp: RegExp): Test =>
  ({ shown }) =>
    regExp.test(shown)

function formatFound(format: string, { shown, path, stat, depth }: Found, io: AppletIO): string {
  const names = accountNames(io)
  const values: Readonly<Record<string, () => string>> = {
    p: () => shown,
    P: () => shown.replace(/^[^/]*\/?/, ''),
    f: () => baseName(shown),
    h: () => dirName(shown),
    s: () => String(stat.size),
    k: () => String(Math.ceil(stat.size / 1024)),
    m: () => (stat.mode & 0o7777).toString(8),
    M: () => modeText(stat),
    u: () => names.user(stat.uid) ?? String(stat.uid),
    g: () => names.group(stat.gid) ?? String(stat.gid),
    U: () => String(stat.uid),
    G: () => String(stat.gid),
    y: () => typeLetter(stat).replace('-', 'f'),
    l: () => (stat.isSymbolicLink() ? io.fs.readlinkSync(path) : ''),
    n: () => String(stat.nlink),
    i: () => String(stat.ino),
    d: () => String(depth),
    t: () => new Date(stat.mtimeMs).toUTCString(),
    '%': () => '%',
  }
  return format.replaceAll(/%(T@|[a-zA-Z%])|\\([nt0\\])/g, (whole, letter?: string, escape?: string) => {
    if (escape !== undefined) return { n: '\n', t: '\t', '0': '\0', '\\': '\\' }[escape]!
    if (letter === 'T@') return (stat.mtimeMs / 1000).toFixed(10)
    return values[letter!]?.() ?? whole
  })
}

async function visit(found: Found, test: Test, walk: Walk): Promise<void> {
  if (walk.quit) return
  walk.io.process.signal?.throwIfAborted()
  const isShown = found.depth >= walk.minDepth
  walk.prune = false
  if (isShown && !walk.depthFirst) await test(found, walk)
  if (found.stat.isDirectory() && !(walk.prune && !walk.depthFirst) && found.depth < walk.maxDepth) {
    for (const name of listFolder(found, walk)) {
      const child = foundAt(joinName(found.shown, name), joinName(found.path, name), found.depth + 1, walk)
      if (child !== undefined) await visit(child, test, walk)
    }
  }
  if (isShown && walk.depthFirst && !walk.quit) await test(found, walk)
}

function listFolder(found: Found, walk: Walk): string[] {
  try {
    return walk.io.fs.readdirSync(found.path)
  } catch (error) {
    walk.io.warn(`'${found.shown}': ${errorText(error)}`)
    walk.code = 1
    return []
  }
}

function foundAt(shown: string, path: string, depth: number, walk: Walk): Found | undefined {
  try {
    const followed = walk.follow ? walk.io.fs.statSync(path, { throwIfNoEntry: false }) : undefined
    return { shown, path, stat: followed ?? walk.io.fs.lstatSync(path), depth }
  } catch (error) {
    walk.io.warn(`'${shown}': ${errorText(error)}`)
    walk.code = 1
    return undefined
  }
}

export const find: Applet = async (args, io) => {
  const walk: Walk = {
    io,
    maxDepth: Infinity,
    minDepth: 0,
    depthFirst: args.includes('-depth'),
    follow: false,
    prune: false,
    quit: false,
    code: 0,
    batches: [],
  }
  let at = 0
  for (; at < args.length && /^-[HLP]$/.test(args[at]!); at++) walk.follow = args[at] === '-L'
  const operands: string[] = []
  while (at < args.length && !/^(?:-.+|[!()])$/.test(args[at]!)) operands.push(args[at++]!)
  const parser = new Parser(args.slice(at), walk)
  const expression = parser.parse()
  const test: Test = parser.hasAction
    ? expression
    : async (found, self) => (await expression(found, self)) && PLAIN['-print']!(found, self)
  for (const operand of operands.length === 0 ? ['.'] : operands) {
    const start = foundAt(operand, io.path(operand), 0, walk)
    if (start !== undefined) await visit(start, test, walk)
  }
  for (const { command, paths } of walk.batches) {
    if (paths.length > 0 && (await io.exec([...command, ...paths])) !== 0) walk.code = 1
  }
  return walk.code
}
