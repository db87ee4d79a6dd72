// fnmatch(3) patterns as regular expressions. Pure.

/** `*`, `?`, `[…]`, `[!…]` and `\c`; nothing is special about `/` or a leading dot, as with find -name. */
export function globToRegExp(pattern: string, flags = ''): RegExp {
  let out = ''
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!
    if (char === '*') out += '.*'
    else if (char === '?') out += '.'
    else if (char === '\\' && at + 1 < pattern.length) out += escapeRegExp(pattern[++at]!)
    else if (char === '[') {
      const end = pattern.indexOf(']', at + (/^\[[!^]?\]/.test(pattern.slice(at)) ? 3 : 1))
      if (end === -1) out += '\\['
      else {
        out += `[${pattern
          .slice(at + 1, end)
          .replace(/^!/, '^')
          .replaceAll('\\', '\\\\')
          .replace(/^(\^?)\]/, '$1\\]')}]`
        at = end
      }
    } else out += escapeRegExp(char)
  }
  return new RegExp(`^${out}$`, flags.includes('s') ? flags : `${flags}s`)
}

export function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}
