// Where POSIX sh and bash read the same text differently: braces are ordinary characters in sh, `[[` is a command's name.
// Works on just-bash's syntax tree; a script without either is left as it is.
import type { Peer } from './peer.js'

type Bash = InstanceType<Peer['Bash']>

const BRACES = /(^|[^$\\])\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}/
const DOUBLE_BRACKET = /(^|[\s;&|(!])\[\[\s/

interface SyntaxNode {
  type?: string
  [key: string]: unknown
}

/** The script with sh's meaning, as text that bash reads. */
export function applyDialect(bash: Bash, script: string): string {
  if (!BRACES.test(script) && !DOUBLE_BRACKET.test(script)) return script
  try {
    bash.registerTransformPlugin({
      name: 'posix-sh',
      transform: ({ ast }) => ({ ast: rewrite(ast as unknown as SyntaxNode) as unknown as typeof ast }),
    })
    return bash.transform(script).script
  } catch {
    // A script that bash cannot parse is reported when it runs.
    return script
  }
}

function rewrite(node: SyntaxNode): SyntaxNode {
  if (node.type === 'BraceExpansion') return literal(braceText(node))
  if (node.type === 'ConditionalCommand') return notFound()
  for (const [key, value] of Object.entries(node)) {
    if (Array.isArray(value)) node[key] = value.map((each) => (isNode(each) ? rewrite(each) : each))
    else if (isNode(value)) node[key] = rewrite(value)
  }
  return node
}

const isNode = (value: unknown): value is SyntaxNode => typeof value === 'object' && value !== null

function literal(value: string): SyntaxNode {
  return { type: 'SingleQuoted', value }
}

function notFound(): SyntaxNode {
  return {
    type: 'SimpleCommand',
    name: { type: 'Word', parts: [{ type: 'SingleQuoted', value: '[[' }] },
    args: [],
    assignments: [],
    redirections: [],
  }
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
  const word = item.word as SyntaxNode | undefined
  return ((word?.parts as SyntaxNode[] | undefined) ?? []).map(partText).join('')
}

function partText(part: SyntaxNode): string {
  return part.type === 'BraceExpansion' ? braceText(part) : String(part.value ?? part.pattern ?? '')
}
