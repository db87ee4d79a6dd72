// The order in which trees are walked and layers are written: a directory before its entries, entries by their names'
// bytes. It is not the order of whole path strings: `a/b` comes before `a-b`, because `a` does. Pure.
import { compareNames } from '../path.js'

const SLASH = 0x2f

/** Preorder of two tree paths (`a/b`; the root is ''). */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  let at = 0
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++
  if (at === length) return a.length - b.length
  const x = a.charCodeAt(at)
  const y = b.charCodeAt(at)
  if (x === SLASH) return -1
  if (y === SLASH) return 1
  if (x < 0xd800 && y < 0xd800) return x - y
  const start = a.lastIndexOf('/', at) + 1
  return compareNames(componentAt(a, start), componentAt(b, start))
}

function componentAt(path: string, start: number): string {
  const end = path.indexOf('/', start)
  return end === -1 ? path.slice(start) : path.slice(start, end)
}

/** Whether `path` is `ancestor` or lies below it. */
export function isWithin(path: string, ancestor: string): boolean {
  return (
    ancestor === '' ||
    path === ancestor ||
    (path.length > ancestor.length && path.charCodeAt(ancestor.length) === SLASH && path.startsWith(ancestor))
  )
}
