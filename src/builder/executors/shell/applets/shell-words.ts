// Commands that in a real system are part of the shell: echo as POSIX sh has it, trap, and how lines are quoted. Pure.
import { UsageError } from '../process.js'
import type { Applet } from '../process.js'

/** A word in single quotes where it needs them. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
}

/** Escapes as XSI echo and dash read them: `\0ooo` octal, `\c` ends the output. */
function expandEscapes(text: string): { readonly text: string; readonly stop: boolean } {
  let out = ''
  for (let at = 0; at < text.length; at++) {
    const next = text[at + 1]
    if (text[at] !== '\\' || next === undefined) {
      out += text[at]
      continue
    }
    if (next === 'c') return { text: out, stop: true }
    const octal = /^0[0-7]{0,3}/.exec(text.slice(at + 1))?.[0]
    if (octal !== undefined) {
      out += String.fromCharCode(Number.parseInt(octal, 8) & 0xff)
      at += octal.length
    } else if (ESCAPES[next] !== undefined) {
      out += ESCAPES[next]
      at++
    } else out += '\\'
  }
  return { text: out, stop: false }
}

/** dash's echo: the only option is -n, escapes are always expanded. */
export const echo: Applet = (args, io) => {
  const [first] = args
  const words = first === '-n' ? args.slice(1) : args
  const { text, stop } = expandEscapes(words.join(' '))
  io.out(`${text}${stop || first === '-n' ? '' : '\n'}`)
  return 0
}

const SIGNALS: Readonly<Record<string, string>> = {
  '0': 'EXIT',
  '1': 'HUP',
  '2': 'INT',
  '3': 'QUIT',
  '15': 'TERM',
}

/** Handlers of EXIT are run by the executor; a signal never reaches a shell in process, so the others are kept only. */
export const trap: Applet = (args, io) => {
  const { traps } = io.process
  const words = args[0] === '--' ? args.slice(1) : args
  if (words.length === 0) {
    for (const [name, action] of traps) io.out(`trap -- ${quoteWord(action)} ${name}\n`)
    return 0
  }
  const [action, ...names] = words.length === 1 ? ['-', words[0]!] : [words[0]!, ...words.slice(1)]
  for (const name of names) {
    const condition = SIGNALS[name] ?? name.replace(/^SIG/, '')
    if (!/^[A-Z][A-Z0-9+-]*$/.test(condition)) throw new UsageError(`${name}: bad trap`, 2)
    if (action === '-') traps.delete(condition)
    else traps.set(condition, action)
  }
  return 0
}
