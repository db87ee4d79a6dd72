// How the CLI writes numbers, times and tables.

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

/** Control characters made visible, so that a name in an image cannot steer the terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for; with /u only lone surrogates match
  return text.replace(/[\u0000-\u001f\u007f-\u009f\udc80-\udcff]/gu, (char) => {
    return `\\x${(char.charCodeAt(0) & 0xff).toString(16).padStart(2, '0')}`
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
