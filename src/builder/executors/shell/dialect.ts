// What just-bash's own reading of a script would get wrong, put right on its syntax tree; a script that has nothing of the
// kind is run as it stands. In sh, braces are ordinary characters, `[[` is a command's name and `test` knows no `==`. In
// both dialects, output to a file that cannot be opened fails the command and not the interpreter.
import type { Peer } from './peer.js'
import type { ShellProcess } from './process.js'
import { isDirectory } from './process.js'

type Bash = InstanceType<Peer['Bash']>

const BRACES = /(^|[^$\\])\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}/
const DOUBLE_BRACKET = /(^|[\s;&|(!])\[\[\s/
/** Operators that just-bash's test lacks, or has where sh has not. */
const TEST_OPERATOR = /^(?:==|-[pSbcugkOG]|-ef|-nt|-ot)$/
const TEST = /(^|[\s;&|(!`])(?:test|\[)\s/

/** just-bash gives the input of a pipe to groups and loops, and not to these. */
const PIPED_COMPOUND = /\|\s*(?:if|case)\s/

interface SyntaxNode {
  type?: string
  [key: string]: unknown
}

export interface Dialect {
  readonly name: 'sh' | 'bash'
  readonly process: ShellProcess
}

/** The script with the dialect's meaning, as text that just-bash reads. */
export function applyDialect(bash: Bash, script: string, dialect: Dialect): string {
  const isSh = dialect.name === 'sh'
  const concerned = isSh && (BRACES.test(script) || DOUBLE_BRACKET.test(script) || TEST.test(script))
  if (!concerned && !script.includes('>') && !PIPED_COMPOUND.test(script)) return script
  const rewriter = new Rewriter(dialect)
  try {
    bash.registerTransformPlugin({
      name: 'lamella-dialect',
      transform: ({ ast }) => ({
        ast: rewriter.rewrite(ast as unknown as SyntaxNode) as unknown as typeof ast,
      }),
    })
    const { script: text } = bash.transform(script)
    return rewriter.changed ? text : script
  } catch {
    // A script that cannot be parsed is reported when it runs.
    return script
  }
}

class Rewriter {
  readonly #dialect: Dialect
  changed = false

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  rewrite(node: SyntaxNode): SyntaxNode {
    if (this.#dialect.name === 'sh') {
      if (node.type === 'BraceExpansion') return this.#changedTo(quoted(braceText(node)))
      if (node.type === 'ConditionalCommand') return this.#changedTo(simpleCommand([quotedWord('[[')]))
      if (node.type === 'SimpleCommand') this.#renameTest(node)
    }
    if (node.type === 'Pipeline') this.#groupCompounds(node)
    for (const [key, value] of Object.entries(node)) {
      if (Array.isArray(value)) node[key] = value.map((each) => (isNode(each) ? this.rewrite(each) : each))
      else if (isNode(value)) node[key] = this.rewrite(value)
    }
    const targets = this.#doubtfulTargets(node)
    return targets.length === 0 ? node : this.#changedTo(guarded(node, targets))
  }

  #changedTo(node: SyntaxNode): SyntaxNode {
    this.changed = true
    return node
  }

  #groupCompounds(node: SyntaxNode): void {
    node.commands = (node.commands as SyntaxNode[]).map((command, index) =>
      index > 0 && (command.type === 'If' || command.type === 'Case')
        ? this.#changedTo(group(command))
        : command,
    )
  }

  #renameTest(node: SyntaxNode): void {
    const name = literalText(node.name as SyntaxNode | null)
    if (name !== 'test' && name !== '[') return
    const words = (node.args as SyntaxNode[]).map(literalText)
    if (!words.some((word) => word !== undefined && TEST_OPERATOR.test(word))) return
    node.name = quotedWord(`lamella-${name}`)
    this.changed = true
  }

  /** Targets of output redirections that may not be writable, as words. */
  #doubtfulTargets(node: SyntaxNode): SyntaxNode[] {
    if (node.type === 'FunctionDef' || !Array.isArray(node.redirections)) return []
    return (node.redirections as SyntaxNode[]).flatMap(({ operator, target }) =>
      ['>', '>>', '>|', '&>', '&>>'].includes(String(operator)) && this.#isDoubtful(target as SyntaxNode)
        ? [target as SyntaxNode]
        : [],
    )
  }

  #isDoubtful(target: SyntaxNode): boolean {
    const text = literalText(target)
    if (text === undefined) return true
    if (/^\/dev\/(?:null|stdout|stderr|tty|fd\/\d)$/.test(text)) return false
    const { fs, identity, hasMounts } = this.#dialect.process
    if (identity.uid !== 0 || hasMounts === true) return true
    if (!text.includes('/')) return false
    const parent = text.slice(0, text.lastIndexOf('/')) || '/'
    return !text.startsWith('/') || !isDirectory(fs, parent) || isDirectory(fs, text)
  }
}

const isNode = (value: unknown): value is SyntaxNode => typeof value === 'object' && value !== null

/** `{ if lamella-redirect file; then command; lamella-redirected $?; else (exit 2); fi; }`, for each file. */
function guarded(command: SyntaxNode, targets: readonly SyntaxNode[]): SyntaxNode {
  const failure = {
    type: 'Subshell',
    body: [statement(simpleCommand([quotedWord('exit'), quotedWord('2')]))],
    redirections: [],
  }
  return targets.reduceRight<SyntaxNode>(
    (body, target) =>
      group({
        type: 'If',
        clauses: [
          {
            condition: [statement(probe(target))],
            body: [
              statement(body),
              statement(simpleCommand([quotedWord('lamella-redirected'), LAST_STATUS])),
            ],
          },
        ],
        elseBody: [statement(failure)],
        redirections: [],
      }),
    command,
  )
}

/** Reads nothing, so that standard input is left for the command. */
function probe(target: SyntaxNode): SyntaxNode {
  const command = simpleCommand([quotedWord('lamella-redirect'), structuredClone(target)])
  return {
    ...command,
    redirections: [{ type: 'Redirection', fd: null, operator: '<', target: quotedWord('/dev/null') }],
  }
}

const group = (command: SyntaxNode): SyntaxNode => ({
  type: 'Group',
  body: [statement(command)],
  redirections: [],
})

function statement(command: SyntaxNode): SyntaxNode {
  const pipeline = { type: 'Pipeline', commands: [command], negated: false }
  return { type: 'Statement', pipelines: [pipeline], operators: [], background: false }
}

function simpleCommand([name, ...args]: readonly SyntaxNode[]): SyntaxNode {
  return { type: 'SimpleCommand', name, args, assignments: [], redirections: [] }
}

const LAST_STATUS: SyntaxNode = {
  type: 'Word',
  parts: [{ type: 'ParameterExpansion', parameter: '?', operation: null }],
}

const quoted = (value: string): SyntaxNode => ({ type: 'SingleQuoted', value })
const quotedWord = (value: string): SyntaxNode => ({ type: 'Word', parts: [quoted(value)] })

/** A word's text where nothing in it is expanded. */
function literalText(word: SyntaxNode | null): string | undefined {
  let out = ''
  for (const part of (word?.parts as SyntaxNode[] | undefined) ?? []) {
    if (part.type === 'DoubleQuoted') {
      const inner = literalText(part)
      if (inner === undefined) return undefined
      out += inner
    } else if (part.type === 'Literal' || part.type === 'SingleQuoted' || part.type === 'Escaped')
      out += String(part.value)
    // `[` alone is read as a pattern that is never closed.
    else if (part.type === 'Glob' && part.pattern === '[') out += '['
    else return undefined
  }
  return out
}

/** Only plain text can stand in braces here; anything else keeps its place as text of its parts. */
function braceText(node: SyntaxNode): string {
  const items = (node.items as SyntaxNode[] | undefined) ?? []
  return `{${items.map(itemText).join(',')}}`
}

function itemText(item: SyntaxNode): string {
  if (item.type === 'Range') {
    const step = item.step === undefined ? '' : `..${String(item.step)}`
    return `${String(item.startStr ?? item.start)}..${String(item.endStr ?? item.end)}${step}`
  }
  return (((item.word as SyntaxNode | undefined)?.parts as SyntaxNode[] | undefined) ?? [])
    .map(partText)
    .join('')
}

function partText(part: SyntaxNode): string {
  return part.type === 'BraceExpansion' ? braceText(part) : String(part.value ?? part.pattern ?? '')
}
