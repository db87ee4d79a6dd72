// Values as Go's fmt prints them: BuildKit writes history texts with %q and %v, and they are part of the image. Pure.

const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}

// Go's IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII blank.
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u

/** `%q` of a string. @see Go strconv.Quote */
export function goQuote(text: string): string {
  let out = ''
  for (const char of text) {
    const code = char.codePointAt(0)!
    if (ESCAPES[char] !== undefined) out += ESCAPES[char]
    else if (PRINTABLE.test(char)) out += char
    else if (code < 0x80) out += `\\x${hex(code, 2)}`
    else if (code < 0x10000) out += `\\u${hex(code, 4)}`
    else out += `\\U${hex(code, 8)}`
  }
  return `"${out}"`
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0')
}

/** `%q` of a list of strings: `["a" "b"]`. */
export function goQuoteList(list: readonly string[]): string {
  return `[${list.map(goQuote).join(' ')}]`
}

/** `%v` of a list of strings: `[a b]`. */
export function goList(list: readonly string[]): string {
  return `[${list.join(' ')}]`
}
