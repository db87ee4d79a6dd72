// How the CLI writes numbers, times and tables, and reads durations.
import { UsageError } from './command.js'

export { printable } from 'lamella'

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** Bytes in powers of 1000 with three significant digits, as `docker images` prints them. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (Math.abs(value) >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))}${UNITS[unit]}`
}

const AGES: readonly (readonly [seconds: number, name: string])[] = [
  [365 * 86_400, 'year'],
  [30 * 86_400, 'month'],
  [7 * 86_400, 'week'],
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
]

/** `3 days ago`; `N/A` without a time, as for images that record none. */
export function formatAge(created: string | undefined, nowMs: number): string {
  const timeMs = created === undefined ? Number.NaN : Date.parse(created)
  if (Number.isNaN(timeMs)) return 'N/A'
  const seconds = Math.floor((nowMs - timeMs) / 1000)
  for (const [length, name] of AGES) {
    const count = Math.floor(seconds / length)
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'} ago`
  }
  return 'just now'
}

/** `sha256:` and the first 12 hex digits. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 7 + 12)
}

/** BuildKit's seconds: one digit after the point. */
export function formatSeconds(durationNs: bigint): string {
  return `${(Number(durationNs) / 1e9).toFixed(1)}s`
}

/** Columns padded to their widest cell, two blanks between them; a column whose header begins with `>` is right-aligned. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const right = header.map((name) => name.startsWith('>'))
  const cells = [header.map((name) => name.replace(/^>/, '')), ...rows]
  const widths = header.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]) =>
    widths
      .map((width, i) => (right[i] ? (row[i] ?? '').padStart(width) : (row[i] ?? '').padEnd(width)))
      .join('  ')
      .trimEnd()
  return cells.map((row) => line(row) + '\n').join('')
}

/** The inverse of `printable`: `caf\\xe9` is the name that is printed so. A `\\xNN` that stood in the name itself is not told apart. */
export function parsePrintable(text: string): string {
  return text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => {
    const byte = Number.parseInt(hex, 16)
    return String.fromCharCode(byte < 0x80 ? byte : 0xdc00 | byte)
  })
}

const MODE_TYPES: Readonly<Record<string, string>> = {
  file: '-',
  dir: 'd',
  symlink: 'l',
  chardev: 'c',
  blockdev: 'b',
  fifo: 'p',
  socket: 's',
}

/** `drwxr-xr-x`, as `ls -l` prints it. */
export function formatMode(kind: string, mode: number): string {
  const bits = (shift: number, special: number, letters: string) => {
    const rwx = (mode >> shift) & 7
    const x = mode & special ? letters[rwx & 1 ? 0 : 1]! : rwx & 1 ? 'x' : '-'
    return (rwx & 4 ? 'r' : '-') + (rwx & 2 ? 'w' : '-') + x
  }
  return (MODE_TYPES[kind] ?? '?') + bits(6, 0o4000, 'sS') + bits(3, 0o2000, 'sS') + bits(0, 0o1000, 'tT')
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Milliseconds of `48h`, `1h30m`. @throws UsageError that names the option */
export function duration(text: string, option: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) {
    throw new UsageError(`--${option} ${text}: expected a duration such as 48h or 1h30m`)
  }
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)
  return [...parts].reduce((sum, [, number, unit]) => sum + Number(number) * DURATION_UNITS[unit!]!, 0)
}
