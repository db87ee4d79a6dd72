#!/usr/bin/env node
// The `lamella` command: finds the command, gives it its arguments, turns errors into words and exit codes. Commands are
// loaded when they are called, because start-up is part of every build.
import { isatty } from 'node:tty'
import { keepCompiledCode } from './compile-cache.js'
import { formatError } from './errors.js'
import {
  HELP_WIDTH,
  helpText,
  nearest,
  readArguments,
  UsageError,
  wrap,
  type Command,
  type Io,
} from './command.js'

/** Name → summary and loader. The summaries stand here too, so that `--help` loads no command. */
const COMMANDS: Readonly<
  Record<string, { readonly summary: string; load(): Promise<{ command: Command }> }>
> = {
  build: { summary: 'build an image from a Dockerfile', load: () => import('./commands/build.js') },
  images: { summary: 'list the images in the store', load: () => import('./commands/images.js') },
  history: {
    summary: 'show the instructions and layers of an image',
    load: () => import('./commands/history.js'),
  },
  ls: { summary: 'list files of an image', load: () => import('./commands/ls.js') },
  cat: { summary: 'print a file of an image', load: () => import('./commands/cat.js') },
  tag: {
    summary: 'give an image a further name, or an older state its name back',
    load: () => import('./commands/tag.js'),
  },
  rmi: { summary: 'remove names of images', load: () => import('./commands/rmi.js') },
  reflog: { summary: 'show what a name pointed at before', load: () => import('./commands/reflog.js') },
  inspect: {
    summary: 'print everything known of containers, images or volumes, as JSON',
    load: () => import('./commands/inspect.js'),
  },
  load: {
    summary: 'take images in from an archive or a layout folder',
    load: () => import('./commands/load.js'),
  },
  save: {
    summary: 'write images into an archive or a layout folder',
    load: () => import('./commands/save.js'),
  },
  export: { summary: 'write the files of an image as one tar', load: () => import('./commands/export.js') },
  checkout: {
    summary: 'write the files of an image into a folder',
    load: () => import('./commands/checkout.js'),
  },
  why: {
    summary: 'show which instruction wrote a file, and which wrote it before',
    load: () => import('./commands/why.js'),
  },
  diff: {
    summary: 'show what differs between two images, two layers of one, or a container and its image',
    load: () => import('./commands/diff.js'),
  },
  analyze: {
    summary: 'show what the layers of an image cost and share',
    load: () => import('./commands/analyze.js'),
  },
  run: { summary: 'run a command in a new container', load: () => import('./commands/run.js') },
  create: {
    summary: 'make a container, and run nothing',
    load: () => import('./commands/create.js'),
  },
  start: { summary: 'run the command of containers again', load: () => import('./commands/start.js') },
  exec: { summary: 'run a further command in a container', load: () => import('./commands/exec.js') },
  restart: {
    summary: 'end what runs in containers, and run it again',
    load: () => import('./commands/restart.js'),
  },
  kill: { summary: 'send a signal to what runs in containers', load: () => import('./commands/kill.js') },
  wait: {
    summary: 'wait until containers have ended, and print their exit codes',
    load: () => import('./commands/wait.js'),
  },
  rename: { summary: 'give a container another name', load: () => import('./commands/rename.js') },
  stop: { summary: 'end what runs in containers', load: () => import('./commands/stop.js') },
  ps: { summary: 'list containers', load: () => import('./commands/ps.js') },
  logs: { summary: 'print what a container has printed', load: () => import('./commands/logs.js') },
  rm: { summary: 'remove containers', load: () => import('./commands/rm.js') },
  commit: { summary: 'make an image of a container', load: () => import('./commands/commit.js') },
  cp: {
    summary: 'copy files between the host and a container',
    load: () => import('./commands/cp.js'),
  },
  volume: {
    summary: 'make, list, show and remove volumes',
    load: () => import('./commands/volume.js'),
  },
  df: { summary: 'show what takes space in the store', load: () => import('./commands/df.js') },
  gc: { summary: 'remove blobs that nothing needs', load: () => import('./commands/gc.js') },
  prune: {
    summary: 'remove what is old or rarely used from the build cache',
    load: () => import('./commands/prune.js'),
  },
  fsck: { summary: 'check the store, and repair it', load: () => import('./commands/fsck.js') },
}

const EXIT_FAILURE = 1
const EXIT_USAGE = 2
const EXIT_INTERRUPTED = 130

function overview(): string {
  const names = Object.keys(COMMANDS)
  const width = Math.max(...names.map((name) => name.length))
  return `Usage: lamella COMMAND [options]

Content-addressable layers, a union filesystem over them, and a builder with
BuildKit's own cache keys. No daemon, no root.

Commands:
${names.map((name) => overviewLine(name, COMMANDS[name]!.summary, width)).join('\n')}

'lamella COMMAND --help' tells more. The store is --store DIR, else
$LAMELLA_STORE, else $XDG_DATA_HOME/lamella.
`
}

function overviewLine(name: string, summary: string, width: number): string {
  return `  ${name.padEnd(width)}  ${wrap(summary, HELP_WIDTH - width - 4).join(`\n${' '.repeat(width + 4)}`)}`
}

async function version(): Promise<string> {
  const { readFileSync } = await import('node:fs')
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return (manifest as { version: string }).version
}

async function main(argv: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = globalOptionsLast(argv)
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    if (name === 'help' && rest[0] !== undefined) return main([rest[0], '--help'], io)
    await io.write(overview())
    return name === undefined ? EXIT_USAGE : 0
  }
  if (name === '--version' || name === '-v' || name === 'version') {
    await io.write(`lamella ${await version()}\n`)
    return 0
  }
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (entry === undefined) throw new UsageError(unknownCommand(name))
  keepCompiledCode(process.env)
  const { command } = await entry.load()
  const args = readArguments(command, rest)
  if (args.flag('help')) {
    await io.write(helpText(command))
    return 0
  }
  return command.run(args, io)
}

/** `lamella --store DIR images` is `lamella images --store DIR`. */
function globalOptionsLast(argv: readonly string[]): readonly string[] {
  const [first = '', second, third] = argv
  if (first.startsWith('--store=') && second !== undefined) return [second, first, ...argv.slice(2)]
  if (first !== '--store' || second === undefined || third === undefined) return argv
  return [third, first, second, ...argv.slice(3)]
}

function unknownCommand(name: string): string {
  if (name.startsWith('-')) return `unknown option ${name}`
  const near = nearest(name, Object.keys(COMMANDS))
  return `unknown command ${JSON.stringify(name)}${near === undefined ? '' : ` (did you mean ${near}?)`}`
}

let endsWithReader = true

function processIo(): Io {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // The first asks the command to end in good order; a second one ends it at once.
    process.once(signal, () => controller.abort(new Error(signal)))
  }
  return {
    write: (data) =>
      new Promise((resolve, reject) => {
        process.stdout.write(data, (error) => (error && endsWithReader ? reject(error) : resolve()))
      }),
    outliveReader: () => void (endsWithReader = false),
    note: (text) => void process.stderr.write(text),
    env: process.env,
    stdin: () => process.stdin,
    endStdin: () => void process.stdin.destroy(),
    stdinIsTerminal: () => isatty(0),
    terminal: process.stderr.isTTY
      ? { columns: () => process.stderr.columns || 80, rows: () => process.stderr.rows || 24 }
      : undefined,
    isTerminal: process.stdout.isTTY === true,
    signal: controller.signal,
  }
}

// `lamella ls … | head` closes our stdout early: that is the reader's right, not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  if (endsWithReader) process.exit(0)
})

const io = processIo()
try {
  process.exitCode = await main(process.argv.slice(2), io)
} catch (error) {
  io.note(formatError(error))
  const isUsage =
    error instanceof UsageError || (error as { code?: unknown } | null)?.code === 'OPTION_INVALID'
  const name = process.argv[2] ?? ''
  if (isUsage) io.note(`Try 'lamella ${Object.hasOwn(COMMANDS, name) ? `${name} ` : ''}--help'.\n`)
  process.exitCode = io.signal.aborted ? EXIT_INTERRUPTED : isUsage ? EXIT_USAGE : EXIT_FAILURE
}
