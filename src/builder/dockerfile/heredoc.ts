// Here-documents: which words of a line announce one, and what is done to its body.
// @see moby/buildkit frontend/dockerfile/parser/parser.go (heredocsFromLine, heredocFromMatch)
import type { Heredoc } from './ast.js'
import { expandWords } from './expand.js'

const NO_VARIABLES: ReadonlyMap<string, string> = new Map()

/** What `[fd]<<[-] WORD` says; the body is not read yet. */
export type HeredocStart = Omit<Heredoc, 'content'>

/**
 * Reads one word.
 *
 * @returns `undefined` when it announces no here-document
 * @throws DockerfileError EXPANSION_INVALID when the delimiter's quotes don't end
 */
export function readHeredocStart(word: string): HeredocStart | undefined {
  let at = 0
  while (word.charCodeAt(at) >= 0x30 && word.charCodeAt(at) <= 0x39) at++
  if (!word.startsWith('<<', at)) return undefined
  const fd = Number(word.slice(0, at))
  const chomp = word[at + 2] === '-'
  const delimiter = word.slice(at + 2 + (chomp ? 1 : 0)).replace(/^[\t\n\f\r ]+/, '')
  if (delimiter === '' || delimiter.includes('<')) return undefined
  const plain = expandWords(delimiter, NO_VARIABLES, { keepUnset: true }).values
  if (plain.length !== 1) return undefined
  const raw = expandWords(delimiter, NO_VARIABLES, { keepUnset: true, keepQuotes: true }).values
  if (raw.length !== 1) return undefined
  const name = plain[0]!
  return {
    name,
    fileDescriptor: Number.isSafeInteger(fd) ? fd : 0,
    expand: countQuotes(name) === countQuotes(raw[0]!),
    chomp,
  }
}

/** As `readHeredocStart`, but a delimiter that cannot be read is no here-document. */
export function isHeredocStart(word: string): HeredocStart | undefined {
  try {
    return readHeredocStart(word)
  } catch {
    return undefined
  }
}

/** All here-documents that a line announces, in order. @throws DockerfileError EXPANSION_INVALID */
export function findHeredocs(line: string): HeredocStart[] {
  if (!line.includes('<<')) return []
  let words: readonly string[]
  try {
    words = expandWords(line, NO_VARIABLES, { keepUnset: true, keepQuotes: true, keepEscapes: true }).values
  } catch {
    // A line whose quotes don't end has no words, so it announces nothing; the shell will complain.
    return []
  }
  return words.flatMap((word) => readHeredocStart(word) ?? [])
}

function countQuotes(text: string): number {
  let count = 0
  for (const char of text) if (char === "'" || char === '"') count++
  return count
}

/** Drops the leading tabs of every line, as `<<-` asks for. */
export function chompHeredoc(content: string): string {
  return content.replace(/(^|\n)\t+/g, '$1')
}
