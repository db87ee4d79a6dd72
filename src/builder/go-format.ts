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
}

// Go's IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII blank.
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u

/** `%q` of a string. @see Go strconv.Quote */
export function goQuote(text: string): string {
  let out = ''
  for (const char of text) out += char === '"' ? '\\"' : escaped(char)
  return `"${out}"`
}

/** `%q` of a number: the character that it is the code point of. @see Go strconv.QuoteRune */
export function goQuoteRune(code: number): string {
  const isRune = code >= 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)
  const char = isRune ? String.fromCodePoint(code) : '\ufffd'
  return `'${char === "'" ? "\\'" : escaped(char)}'`
}

function escaped(char: string): string {
  const code = char.codePointAt(0)!
  if (ESCAPES[char] !== undefined) return ESCAPES[char]
  if (PRINTABLE.test(char)) return char
  if (code < 0x80) return `\\x${hex(code, 2)}`
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`
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
