// diff(1): the normal form, which just-bash lacks, and brief reports; other forms are just-bash's.
import { parseOptions } from '../options.js'
import { errorText, isDirectory, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'

const OPTIONS = {
  flags: 'qsruNaiwbBcey',
  values: 'UCIx',
  long: {
    brief: 'q',
    'report-identical-files': 's',
    recursive: 'r',
    unified: 'u',
    text: 'a',
    'new-file': 'N',
  },
} as const

export const diff: Applet = async (args, io) => {
  const options = parseOptions(args, OPTIONS)
  const [first, second] = options.operands
  if (first === undefined || second === undefined) throw new UsageError('missing operand', 2)
  const plain = !['u', 'c', 'e', 'y', 'U', 'C', 'i', 'w', 'b', 'B', 'I'].some((letter) => options.has(letter))
  if (!plain || isDirectory(io.fs, io.path(first)) || isDirectory(io.fs, io.path(second))) {
    return io.original === undefined ? 2 : io.original(args)
  }
  let texts: string[]
  try {
    texts = [first, second].map((name) => readText(io, name))
  } catch (error) {
    io.warn(`${errorText(error)}`)
    return 2
  }
  const [a, b] = texts as [string, string]
  if (a === b) {
    if (options.has('s')) io.out(`Files ${first} and ${second} are identical\n`)
    return 0
  }
  if (options.has('q')) io.out(`Files ${first} and ${second} differ\n`)
  else for (const hunk of compareLines(linesOf(a), linesOf(b))) io.out(formatHunk(hunk))
  return 1
}

function readText(io: AppletIO, name: string): string {
  return new TextDecoder().decode(name === '-' ? io.stdin : (io.fs.readFileSync(io.path(name)) as Uint8Array))
}

function linesOf(text: string): string[] {
  const lines = text.split('\n')
  const last = lines.pop()!
  return last === '' ? lines : [...lines, `${last}\n\\ No newline at end of file`]
}

interface Hunk {
  readonly fromA: number
  readonly fromB: number
  readonly removed: readonly string[]
  readonly added: readonly string[]
}

/** Longest common subsequence by Myers' greedy algorithm, as runs of what differs. */
export function compareLines(a: readonly string[], b: readonly string[]): Hunk[] {
  const trace = shortestEdit(a, b)
  const kept: [number, number][] = []
  let [x, y] = [a.length, b.length]
  for (let depth = trace.length - 1; depth >= 0; depth--) {
    const ends = trace[depth]!
    const k = x - y
    const down = k === -depth || (k !== depth && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1))
    const previous = down ? k + 1 : k - 1
    const startX = depth === 0 ? 0 : (ends.get(previous) ?? 0)
    const startY = startX - (depth === 0 ? 0 : previous)
    while (
      x > (depth === 0 ? 0 : down ? startX : startX + 1) &&
      y > (depth === 0 ? 0 : down ? startY + 1 : startY)
    )
      kept.push([--x, --y])
    ;[x, y] = [startX, startY]
  }
  return hunksBetween(a, b, kept.toReversed())
}

function shortestEdit(a: readonly string[], b: readonly string[]): Map<number, number>[] {
  const trace: Map<number, number>[] = []
  let ends = new Map<number, number>([[1, 0]])
  for (let depth = 0; depth <= a.length + b.length; depth++) {
    trace.push(new Map(ends))
    const next = new Map(ends)
    for (let k = -depth; k <= depth; k += 2) {
      const down = k === -depth || (k !== depth && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1))
      let x = down ? (ends.get(k + 1) ?? 0) : (ends.get(k - 1) ?? 0) + 1
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++
      next.set(k, x)
      if (x >= a.length && x - k >= b.length) return trace
    }
    ends = next
  }
  return trace
}

function hunksBetween(
  a: readonly string[],
  b: readonly string[],
  kept: readonly (readonly [number, number])[],
): Hunk[] {
  const hunks: Hunk[] = []
  let [x, y] = [0, 0]
  for (const [keptX, keptY] of [...kept, [a.length, b.length] as const]) {
    if (keptX > x || keptY > y)
      hunks.push({ fromA: x, fromB: y, removed: a.slice(x, keptX), added: b.slice(y, keptY) })
    ;[x, y] = [keptX + 1, keptY + 1]
  }
  return hunks
}

function formatHunk({ fromA, fromB, removed, added }: Hunk): string {
  const range = (from: number, count: number): string =>
    count > 1 ? `${from + 1},${from + count}` : String(count === 0 ? from : from + 1)
  const letter = removed.length === 0 ? 'a' : added.length === 0 ? 'd' : 'c'
  const lines = [`${range(fromA, removed.length)}${letter}${range(fromB, added.length)}`]
  lines.push(...removed.map((line) => `< ${line}`))
  if (letter === 'c') lines.push('---')
  lines.push(...added.map((line) => `> ${line}`))
  return `${lines.join('\n')}\n`
}
