// Reads the tables of this folder: rows are data, the rules stand in them.
import { readFileSync } from 'node:fs'

export function readData(name: string): string {
  return readFileSync(new URL(`data/${name}`, import.meta.url), 'utf8')
}

/** Lines that are neither blank nor comments. */
export function readRows(name: string): string[] {
  return readData(name)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('# '))
}

/** `␤` is a line end, `␉` a tab, `␀` alone nothing. */
export function decodeCell(cell: string): string {
  return cell === '␀' ? '' : cell.replaceAll('␤', '\n').replaceAll('␉', '\t')
}
