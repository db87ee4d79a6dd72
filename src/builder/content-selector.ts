// What a COPY source or a mount reads of its input: a path, perhaps with wildcards and filters. Pure.
import { compareNames, splitPath } from '../path.js'

/** What is read of an input, as one source of a COPY or one mount names it. @see opsutils.Selector */
export interface ContentSelector {
  /** Absolute or relative to the input's root; cleaned and clamped at the root. */
  readonly path: string
  /** Whether `*`, `?` and `[` in the path match names. Without any of them it makes no difference. */
  readonly wildcard?: boolean | undefined
  /** Whether a symlink at the end is followed; those on the way always are. */
  readonly followLinks?: boolean | undefined
  /** Patterns as in an ignore file, relative to what the path names. */
  readonly include?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
}

/** Whether it names a list of entries rather than one file or directory. */
export function hasFilters(selector: ContentSelector): boolean {
  return (
    (selector.wildcard === true && containsWildcards(selector.path)) ||
    (selector.include?.length ?? 0) > 0 ||
    (selector.exclude?.length ?? 0) > 0
  )
}

/** The part of a selector's path before its first wildcard. */
export function fixedParts({ path, wildcard }: ContentSelector): string[] {
  const parts = splitPath(path)
  return wildcard === true ? parts.slice(0, firstWildcard(parts)) : parts
}

function firstWildcard(parts: readonly string[]): number {
  const at = parts.findIndex(containsWildcards)
  return at === -1 ? parts.length : at
}

/** Whether a path has `*`, `?` or `[` that no backslash takes the meaning from. */
export function containsWildcards(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const char = path[i]
    if (char === '\\') i++
    else if (char === '*' || char === '?' || char === '[') return true
  }
  return false
}

/**
 * The selectors that are hashed: plain paths that lie below another plain one dropped, all sorted by path. Paths that
 * follow their last link and those that don't are kept apart. @see ops/file.go dedupeSelectors
 */
export function dedupeSelectors(selectors: readonly ContentSelector[]): ContentSelector[] {
  const clean = selectors.map((selector) => ({ ...selector, path: `/${splitPath(selector.path).join('/')}` }))
  const plain = clean.filter((selector) => !hasFilters(selector))
  const out: ContentSelector[] = clean.filter(hasFilters)
  for (const followLinks of [false, true]) {
    const paths = plain.filter((selector) => (selector.followLinks ?? false) === followLinks)
    for (const path of dedupePaths(paths.map((selector) => selector.path))) out.push({ path, followLinks })
  }
  return out.sort((a, b) => compareNames(a.path, b.path))
}

function dedupePaths(paths: readonly string[]): string[] {
  const all = [...new Set(paths)]
  return all.filter(
    (path) => !all.some((other) => other !== path && path.startsWith(other === '/' ? '/' : `${other}/`)),
  )
}
