// Applets as just-bash's custom commands.
import type { CustomCommand, ExecResult, RuntimeCommandContext } from './peer.js'
import { bytesOfLatin1, latin1OfBytes } from './latin1.js'
import { quoteWord } from './applets/shell-words.js'
import { errorText, UsageError } from './process.js'
import type { Applet, AppletIO, ShellProcess } from './process.js'

const encoder = new TextEncoder()

class Output {
  stdout = ''
  stderr = ''

  result(exitCode: number): ExecResult {
    return { stdout: this.stdout, stderr: this.stderr, exitCode, stdoutKind: 'bytes' }
  }
}

function ioFor(
  name: string,
  process: ShellProcess,
  context: RuntimeCommandContext,
  output: Output,
): AppletIO {
  const take = (result: ExecResult): number => {
    const isBytes = result.stdoutKind === 'bytes' || result.stdoutEncoding === 'binary'
    output.stdout += isBytes ? result.stdout : latin1OfBytes(encoder.encode(result.stdout))
    output.stderr += result.stderr
    return result.exitCode
  }
  const { origCommand } = context
  return {
    process,
    fs: process.fs,
    cwd: context.cwd,
    env: context.env,
    get stdin() {
      return bytesOfLatin1(context.stdin as unknown as string)
    },
    path: (argument) =>
      argument.startsWith('/') ? argument : `${context.cwd === '/' ? '' : context.cwd}/${argument}`,
    out: (data) => {
      output.stdout += latin1OfBytes(typeof data === 'string' ? encoder.encode(data) : data)
    },
    warn: (message) => {
      output.stderr += `${name}: ${message}\n`
    },
    async exec(argv, stdin) {
      const input = stdin === undefined ? {} : { stdin: latin1OfBytes(stdin), stdinKind: 'bytes' as const }
      const options = {
        cwd: context.cwd,
        ...(context.signal === undefined ? {} : { signal: context.signal }),
        ...input,
      }
      return take(await context.exec!(argv.map(quoteWord).join(' '), options))
    },
    original: origCommand === undefined ? undefined : async (args) => take(await origCommand([...args])),
  }
}

/** A variable of the shell, not exported: so a subshell's umask ends with the subshell. */
const UMASK = '_lamella_umask'
const DEFAULT_UMASK = 0o022

/** A command that never throws: a wrong call and an error of the file system become a message and an exit code. */
export function customCommand(name: string, applet: Applet, process: ShellProcess): CustomCommand {
  return {
    name,
    trusted: true,
    async execute(args, context) {
      const output = new Output()
      process.umask = Number(context.env.get(UMASK) ?? DEFAULT_UMASK)
      try {
        const before = process.umask
        const exitCode = await applet(args, ioFor(name.replace(/^lamella-/, ''), process, context, output))
        if (name === 'umask' && process.umask !== before) context.env.set(UMASK, String(process.umask))
        return output.result(exitCode)
      } catch (error) {
        if (error instanceof UsageError) output.stderr += `${name}: ${error.message}\n`
        else if (typeof (error as { code?: unknown }).code === 'string')
          output.stderr += `${name}: ${errorText(error)}\n`
        else throw error
        return output.result(error instanceof UsageError ? error.exitCode : 1)
      }
    },
  }
}
