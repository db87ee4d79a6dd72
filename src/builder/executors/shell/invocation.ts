// What an argument vector asks of a shell: `/bin/sh -ec 'script' name args…`, or a program with its arguments. Pure.
import { quoteWord } from './applets/shell-words.js'

export interface Invocation {
  /** POSIX sh as Debian's dash has it, or bash. */
  readonly dialect: 'sh' | 'bash'
  /** The text that the shell runs. */
  readonly script: string
}

const SHELLS: Readonly<Record<string, Invocation['dialect']>> = {
  sh: 'sh',
  dash: 'sh',
  ash: 'sh',
  bash: 'bash',
}

/** Reads an argument vector. Options before -c become `set` commands, words after the script positional parameters. */
export function readInvocation(argv: readonly string[]): Invocation {
  const dialect = SHELLS[argv[0]!.slice(argv[0]!.lastIndexOf('/') + 1)]
  const found = dialect === undefined ? undefined : readShellArguments(argv.slice(1))
  if (dialect === undefined || found === undefined) {
    return { dialect: 'sh', script: argv.map(quoteWord).join(' ') }
  }
  const head = found.settings.map((setting) => `set ${setting}\n`).join('')
  const parameters =
    found.parameters.length === 0 ? '' : `set -- ${found.parameters.map(quoteWord).join(' ')}\n`
  return { dialect, script: head + parameters + found.script }
}

interface ShellArguments {
  readonly settings: readonly string[]
  readonly script: string
  readonly parameters: readonly string[]
}

function readShellArguments(args: readonly string[]): ShellArguments | undefined {
  const settings: string[] = []
  let commands = false
  let at = 0
  for (; at < args.length && /^[-+]./.test(args[at]!); at++) {
    const arg = args[at]!
    if (arg === '--') {
      at++
      break
    }
    if (arg.startsWith('--')) continue
    const letters = arg.slice(1).replace(/[cl]/g, '')
    if (arg.startsWith('-') && arg.includes('c')) commands = true
    const plain = letters.replace('o', '')
    if (plain !== '') settings.push(`${arg[0]!}${plain}`)
    if (letters.includes('o')) settings.push(`${arg[0]!}o ${quoteWord(args[++at] ?? '')}`)
  }
  const script = args[at]
  if (!commands || script === undefined) return undefined
  // The word after the script is $0; parameters begin with the next.
  return { settings, script, parameters: args.slice(at + 2) }
}
