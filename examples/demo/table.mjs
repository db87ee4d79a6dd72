// The demo's output for people: one table for each build. Colours only on a terminal that wants them.

const COLOURS = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }

export function createPainter(stream) {
  const on = stream.isTTY === true && process.env.NO_COLOR === undefined
  return (colour, text) => (on ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text)
}

export function formatBytes(bytes) {
  if (bytes === 0) return '-'
  if (bytes < 1000) return `${bytes} B`
  const units = ['kB', 'MB', 'GB']
  let value = bytes
  let unit = -1
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${value.toFixed(1)} ${units[unit]}`
}

export const formatTime = (milliseconds) =>
  milliseconds === undefined ? '-' : milliseconds < 0.05 ? '0 ms' : `${milliseconds.toFixed(1)} ms`

const COLUMNS = [
  { title: 'instruction', width: 34 },
  { title: 'result', width: 8 },
  { title: 'time', width: 10, right: true },
  { title: 'bytes added', width: 12, right: true },
  { title: 'run by', width: 10 },
]

const cell = ({ width, right }, text) => (right ? text.padStart(width) : text.padEnd(width))
const line = (texts) =>
  COLUMNS.map((column, index) => cell(column, texts[index] ?? ''))
    .join('  ')
    .trimEnd()

export function formatTable(report, paint) {
  const rule = paint('dim', '-'.repeat(COLUMNS.reduce((sum, { width }) => sum + width + 2, -2)))
  const out = [paint('bold', `${report.dockerfile} - ${report.title}`), rule]
  out.push(paint('dim', line(COLUMNS.map(({ title }) => title))))
  for (const row of report.rows) out.push(formatRow(row, paint))
  out.push(rule)
  const total = line(['', '', formatTime(report.milliseconds), formatBytes(report.bytesAdded), ''])
  out.push(`whole build${total.slice('whole build'.length)}`)
  if (report.sameImage !== undefined)
    out.push(`the image is ${report.sameImage ? 'the same as before' : 'a new one'}`)
  const verdict = report.asExpected
    ? paint('green', 'ok: as it must be')
    : paint('red', 'WRONG: see the rows marked')
  out.push(verdict, '')
  return out.join('\n')
}

function formatRow(row, paint) {
  if (row.result === 'config') return paint('dim', line([row.instruction, 'config', '-', '-']))
  const text = line([
    row.instruction,
    row.result,
    formatTime(row.milliseconds),
    formatBytes(row.bytes),
    row.by ?? '',
  ])
  const wrong = row.result === row.expected ? '' : paint('red', `  <- must be ${row.expected}`)
  return paint(row.result === 'CACHED' ? 'cyan' : 'yellow', text) + wrong
}
