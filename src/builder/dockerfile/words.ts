// How the text after a keyword is cut: flags, blank-separated words, quoted words, JSON arrays. Offsets count from the start
// of the given text.
// @see moby/buildkit frontend/dockerfile/parser/{split_command,line_parsers}.go
import type { Escape } from './ast.js'
import { isBlank, isSpace, skipSpaces } from './text.js'

export interface Word {
  readonly text: string
  readonly from: number
  readonly to: number
}

export interface FlagSplit {
  readonly flags: readonly Word[]
  /** Offset of what follows the flags. */
  readonly rest: number
}

const NO_FLAGS: readonly Word[] = []

/** Takes the leading words that begin with `--`. Quotes go, the escape character takes the next one; `--` alone ends them. */
export function splitFlags(text: string, escape: Escape): FlagSplit {
  if (!text.startsWith('--')) return { flags: NO_FLAGS, rest: 0 }
  // BuildKit walks flags byte by byte and takes each byte for a character.
  const bytes = asBytes(text)
  const { flags, rest } = scanFlags(bytes.text, escape)
  if (bytes.offsets === undefined) return { flags, rest }
  const { offsets } = bytes
  const place = (at: number): number => offsets[at] ?? text.length
  return {
    flags: flags.map((flag) => ({ text: flag.text, from: place(flag.from), to: place(flag.to) })),
    rest: place(rest),
  }
}

/** A text with one character per UTF-8 byte, and where each byte's character starts; as it is when it is ASCII. */
function asBytes(text: string): { text: string; offsets?: readonly number[] } {
  let ascii = true
  for (let i = 0; ascii && i < text.length; i++) ascii = text.charCodeAt(i) < 0x80
  if (ascii) return { text }
  const encoder = new TextEncoder()
  const offsets: number[] = []
  let out = ''
  let at = 0
  for (const char of text) {
    for (const byte of encoder.encode(char)) {
      out += String.fromCharCode(byte)
      offsets.push(at)
    }
    at += char.length
  }
  return { text: out, offsets }
}

function scanFlags(text: string, escape: Escape): FlagSplit {
  const flags: Word[] = []
  let at = 0
  for (;;) {
    at = skipSpaces(text, at)
    if (text[at] !== '-' || text[at + 1] !== '-') return { flags, rest: at }
    const from = at
    let word = ''
    let quote = ''
    for (; at < text.length; at++) {
      const char = text[at]!
      if (quote === '' && isSpace(text.charCodeAt(at))) break
      if (quote === '' ? char === "'" || char === '"' : char === quote) {
        quote = quote === '' ? char : ''
      } else if (char === escape) {
        // At the very end an escape character vanishes.
        if (at + 1 < text.length) word += text[++at]
      } else {
        word += char
      }
    }
    if (word === '--') return { flags, rest: skipSpaces(text, at) }
    flags.push({ text: word, from, to: at })
  }
}

/** Words between runs of blanks. @param text  without blanks at its ends */
export function splitBlanks(text: string, limit = Infinity): Word[] {
  const words: Word[] = []
  let from = 0
  for (let at = 0; at < text.length && words.length + 1 < limit; at++) {
    if (!isBlank(text.charCodeAt(at))) continue
    words.push({ text: text.slice(from, at), from, to: at })
    while (at + 1 < text.length && isBlank(text.charCodeAt(at + 1))) at++
    from = at + 1
  }
  words.push({ text: text.slice(from), from, to: text.length })
  return words
}

/**
 * Words between spaces where quotes and escapes hold spaces together. Quotes and escape characters stay; they go when the word
 * is expanded. An escape character at the very end vanishes.
 */
export function splitQuoted(text: string, escape: Escape): Word[] {
  const words: Word[] = []
  for (let at = skipSpaces(text, 0); at < text.length; at = skipSpaces(text, at)) {
    const from = at
    let word = ''
    let quote = ''
    let quoted = false
    while (at < text.length) {
      const char = text[at]!
      if (quote === '' && isSpace(text.charCodeAt(at))) break
      at++
      if (char === escape && quote !== "'") {
        if (at === text.length) break
        word += char + text[at++]
        continue
      }
      if (quote === '' && (char === "'" || char === '"')) {
        quote = char
        quoted = true
      } else if (char === quote) {
        quote = ''
      }
      word += char
    }
    if (word !== '' || quoted) words.push({ text: word, from, to: at })
  }
  return words
}

/** A JSON array of strings, `'mixed'` when it holds anything else, `undefined` when the text is no JSON array. */
export function readJsonWords(text: string): readonly string[] | 'mixed' | undefined {
  if (text[skipSpaces(text, 0)] !== '[') return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(parsed)) return undefined
  if (!parsed.every((item): item is string => typeof item === 'string')) return 'mixed'
  return parsed.map((item) => item.toWellFormed())
}
