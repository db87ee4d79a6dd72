// What several commands need: names, modes, removal of trees.
import { applyModeChange, parseModeChange } from '../../../ops/chmod.js'
import { UsageError } from '../process.js'
import type { ViewFs } from '../process.js'

/** The last component, trailing slashes dropped; `/` for the root. */
export function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  return trimmed === '' ? '/' : trimmed.slice(trimmed.lastIndexOf('/') + 1)
}

export function dirName(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  const at = trimmed.lastIndexOf('/')
  return at === -1 ? '.' : at === 0 ? '/' : trimmed.slice(0, at)
}

export function joinName(folder: string, name: string): string {
  return name === '' ? folder : folder.endsWith('/') ? folder + name : `${folder}/${name}`
}

/**
 * A mode as chmod(1) takes it, octal or symbolic, applied to `mode`. Where no class is named, the umask's bits are left
 * alone.
 * @throws UsageError
 */
export function parseMode(text: string, mode: number, isDirectory: boolean, umask: number): number {
  if (/^[0-7]{1,5}$/.test(text)) {
    const bits = Number.parseInt(text, 8)
    if (bits > 0o7777) throw new UsageError(`invalid mode: '${text}'`)
    // GNU chmod leaves a directory's set-id bits alone unless they are spelled out.
    return isDirectory && text.length < 5 ? bits | (mode & 0o6000) : bits
  }
  let out = mode
  for (const clause of text.split(',')) {
    const change = parseModeChange(clause)
    if (change === undefined) throw new UsageError(`invalid mode: '${text}'`)
    const named = /^[ugoa]/.test(clause)
    const next = applyModeChange(change, out, isDirectory)
    out = named ? next : (next & ~umask) | (out & umask)
  }
  return out
}

/** Removes a path with all below it; never follows a symlink. */
export function removeTree(fs: ViewFs, path: string): void {
  if (fs.lstatSync(path).isDirectory()) {
    for (const name of fs.readdirSync(path)) removeTree(fs, joinName(path, name))
    fs.rmdirSync(path)
  } else fs.unlinkSync(path)
}

/** A tree's paths, parents before children, in name order; symlinks are not followed. */
export function* walkTree(fs: ViewFs, path: string): Generator<string> {
  yield path
  if (!fs.lstatSync(path).isDirectory()) return
  for (const name of fs.readdirSync(path).toSorted()) yield* walkTree(fs, joinName(path, name))
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 512,
  kB: 1000,
  K: 1024,
  k: 1024,
  MB: 1e6,
  M: 1024 ** 2,
  G: 1024 ** 3,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
}

/** A size as coreutils read it: `10`, `4K`, `1MB`. @throws UsageError */
export function parseSize(text: string): number {
  const match = /^(\d+)([a-zA-Z]*)$/.exec(text)
  const unit = UNITS[match?.[2] ?? '']
  if (match === null || unit === undefined) throw new UsageError(`invalid number '${text}'`)
  return Number(match[1]) * unit
}
