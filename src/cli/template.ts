// `--format`: the part of Go's text/template that people write for docker: fields, json, index, len, join, lower, upper,
// println, range, if, with variables of range and trim markers. Anything else is refused. Pure.
// @see pkg.go.dev/text/template; docker docs, "Format command and log output"
import { UsageError } from './command.js'

interface Scope {
  readonly dot: unknown
  readonly variables: ReadonlyMap<string, unknown>
}

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly words: readonly string[] }
  | {
      readonly kind: 'if'
      readonly words: readonly string[]
      readonly body: Part[]
      readonly otherwise: Part[]
    }
  | {
      readonly kind: 'range'
      readonly names: readonly string[]
      readonly words: readonly string[]
      readonly body: Part[]
      readonly otherwise: Part[]
    }

/** @returns renders one value @throws UsageError for what is not in the subset, also from what it returns */
export function parseTemplate(text: string): (value: unknown) => string {
  const tokens = tokensOf(text)
  const { parts, end } = parseParts(tokens, 0, text)
  if (end < tokens.length) throw refused(text, `unexpected {{${tokens[end]!.words.join(' ')}}}`)
  return (value) => render(parts, { dot: value, variables: new Map([['$', value]]) }, text)
}

interface Token {
  readonly text: string | undefined
  readonly words: readonly string[]
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  let trims = false
  for (const match of text.matchAll(
    /\{\{(- )?\s*((?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?! -\}\})[^}"`])*?)\s*( -)?\}\}/gs,
  )) {
    const before = text.slice(at, match.index)
    const left = trims ? before.trimStart() : before
    tokens.push({ text: match[1] === undefined ? left : left.trimEnd(), words: [] })
    const body = match[2]!
    if (!body.startsWith('/*')) tokens.push({ text: undefined, words: wordsOf(body, text) })
    trims = match[3] !== undefined
    at = match.index + match[0].length
  }
  const rest = text.slice(at)
  if (rest.includes('{{')) throw refused(text, 'a {{ is not closed')
  tokens.push({ text: trims ? rest.trimStart() : rest, words: [] })
  return tokens
}

function wordsOf(body: string, text: string): string[] {
  const words = body.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|:=|,|[^\s,"`]+/g) ?? []
  if (words.length === 0) throw refused(text, 'an action is empty')
  return words
}

function parseParts(tokens: readonly Token[], start: number, text: string): { parts: Part[]; end: number } {
  const parts: Part[] = []
  let at = start
  while (at < tokens.length) {
    const token = tokens[at]!
    const [head, ...words] = token.words
    if (token.text !== undefined) parts.push({ kind: 'text', text: token.text })
    else if (head === 'end' || head === 'else') break
    else if (head === 'if' || head === 'range') {
      const first = parseParts(tokens, at + 1, text)
      const hasElse = tokens[first.end]?.words.join(' ') === 'else'
      const last = hasElse ? parseParts(tokens, first.end + 1, text) : { parts: [], end: first.end }
      if (tokens[last.end]?.words.join(' ') !== 'end') throw refused(text, `{{${head}}} has no {{end}}`)
      const branches = { body: first.parts, otherwise: last.parts }
      const assigned = words.indexOf(':=')
      const names = words.slice(0, Math.max(0, assigned)).filter((word) => word !== ',')
      parts.push(
        head === 'if'
          ? { kind: 'if', words, ...branches }
          : { kind: 'range', names, words: words.slice(assigned + 1), ...branches },
      )
      at = last.end
    } else parts.push({ kind: 'value', words: token.words })
    at++
  }
  return { parts, end: at }
}

function render(parts: readonly Part[], scope: Scope, text: string): string {
  return parts.map((part) => renderPart(part, scope, text)).join('')
}

function renderPart(part: Part, scope: Scope, text: string): string {
  if (part.kind === 'text') return part.text
  const value = evaluate(part.words, scope, text)
  if (part.kind === 'value') return shown(value)
  if (part.kind === 'if') return render(isTrue(value) ? part.body : part.otherwise, scope, text)
  const entries = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  if (entries.length === 0) return render(part.otherwise, scope, text)
  return entries
    .map(([key, each]) => {
      const own = part.names.length > 1 ? [key, each] : [each]
      const variables = new Map([...scope.variables, ...part.names.map((name, i) => [name, own[i]] as const)])
      return render(part.body, { dot: each, variables }, text)
    })
    .join('')
}

type Call = (args: readonly unknown[]) => unknown

const FUNCTIONS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ['json', ([value]) => JSON.stringify(value ?? null)],
  [
    'len',
    ([value]) =>
      typeof value === 'string' || Array.isArray(value) ? value.length : Object.keys(value ?? {}).length,
  ],
  ['index', ([value, ...keys]) => keys.reduce((at, key) => own(at, String(key)), value)],
  ['join', ([list, by]) => (list as unknown[]).map(shown).join(String(by))],
  ['lower', ([value]) => String(value).toLowerCase()],
  ['upper', ([value]) => String(value).toUpperCase()],
  ['println', (values) => `${values.map(shown).join(' ')}\n`],
  ['eq', ([value, ...others]) => others.includes(value)],
  ['ne', ([a, b]) => a !== b],
  ['not', ([value]) => !isTrue(value)],
])

/** A pipeline is handed on as the last argument: `.Names | json`. */
function evaluate(words: readonly string[], scope: Scope, text: string): unknown {
  const stages: string[][] = [[]]
  for (const word of words)
    if (word === '|') stages.push([])
    else stages.at(-1)!.push(word)
  let piped: readonly unknown[] = []
  for (const [head, ...rest] of stages) {
    if (head === undefined) throw refused(text, 'a pipeline has a gap')
    const call = FUNCTIONS.get(head)
    if (call === undefined && (rest.length > 0 || piped.length > 0))
      throw refused(text, `${head} is no function here`)
    const args = rest.map((word) => operand(word, scope, text))
    piped = [call === undefined ? operand(head, scope, text) : call(args.concat(piped))]
  }
  return piped[0]
}

function operand(word: string, scope: Scope, text: string): unknown {
  if (/^["`]/.test(word)) return word.startsWith('`') ? word.slice(1, -1) : (JSON.parse(word) as string)
  if (/^-?\d+$/.test(word)) return Number(word)
  if (word === 'true' || word === 'false') return word === 'true'
  const match = /^(\$\w*)?((?:\.\w+)*|\.)$/.exec(word)
  if (match === null) {
    const names = [...FUNCTIONS.keys()].join(', ')
    throw refused(
      text,
      `${word} is not understood: there are fields (.A.B), range, if and the functions ${names}`,
    )
  }
  const [, variable, path = ''] = match
  if (variable !== undefined && !scope.variables.has(variable)) throw refused(text, `${variable} is not set`)
  const start = variable === undefined ? scope.dot : scope.variables.get(variable)
  return path
    .split('.')
    .filter(Boolean)
    .reduce((value, name) => own(value, name), start)
}

function own(value: unknown, name: string): unknown {
  if (value === null || typeof value !== 'object' || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, unknown>)[name]
}

function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (value !== null && typeof value === 'object') return Object.keys(value).length > 0
  return Boolean(value)
}

/** As Go's fmt prints it with %v. */
function shown(value: unknown): string {
  if (value === undefined || value === null) return '<no value>'
  if (Array.isArray(value)) return `[${value.map(shown).join(' ')}]`
  if (typeof value !== 'object') return String(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `map[${entries.map(([key, each]) => `${key}:${shown(each)}`).join(' ')}]`
}

function refused(text: string, why: string): UsageError {
  return new UsageError(`--format ${JSON.stringify(text)}: ${why}`)
}
