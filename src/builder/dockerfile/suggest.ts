// "did you mean": the nearest of a few known names, as BuildKit offers it in errors and checks.
// @see moby/buildkit util/suggest/error.go

/** Names farther away than two edits are not offered. */
const DISTANCE_MAX = 2
/** Longer words are no typing slips; the bound keeps the table small whatever a file holds. */
const LENGTH_MAX = 64

/** Edits (insert, delete, replace) between two words, in code points. */
function distance(a: readonly string[], b: readonly string[]): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min(replace, previous[j]! + 1, current[j - 1]! + 1))
    }
    previous = current
  }
  return previous[b.length]!
}

/**
 * The option nearest to `word`, or `undefined` when none is near or one is equal. Among equally near ones the first in
 * byte order wins; BuildKit takes any.
 */
export function suggest(word: string, options: Iterable<string>, caseSensitive = true): string | undefined {
  if (word.length > LENGTH_MAX) return undefined
  const fold = (text: string): string => (caseSensitive ? text : text.toLowerCase())
  const wanted = fold(word)
  let best: string | undefined
  let bestDistance = DISTANCE_MAX + 1
  for (const option of [...options].sort()) {
    const name = fold(option)
    if (name === wanted) return undefined
    if (name.length > LENGTH_MAX) continue
    const found = distance(Array.from(wanted), Array.from(name))
    if (found >= bestDistance) continue
    best = caseSensitive ? option : matchCase(name, word)
    bestDistance = found
  }
  return best
}

/** ` (did you mean X?)`, or nothing. */
export function suggestion(word: string, options: Iterable<string>, caseSensitive = true): string {
  const match = suggest(word, options, caseSensitive)
  return match === undefined ? '' : ` (did you mean ${match}?)`
}

function matchCase(name: string, like: string): string {
  // Go's case mapping replaces bytes that are not UTF-8, so such a word is in no case.
  if (!like.isWellFormed()) return name
  if (like === like.toLowerCase()) return name.toLowerCase()
  if (like === like.toUpperCase()) return name.toUpperCase()
  return name
}
