// Raw nodes → typed instructions: which flags and how many arguments each instruction takes. Checks stand in BuildKit's order,
// so that a line with two faults is refused for the same one.
// @see moby/buildkit frontend/dockerfile/instructions/parse.go
import { DockerfileError, type DockerfileErrorCode, type SourceRange } from '../../errors.js'
import { compareNames } from '../../path.js'
import type {
  AddInstruction,
  AnyInstruction,
  ArgInstruction,
  CommandLine,
  CopyInstruction,
  EnvInstruction,
  FromInstruction,
  HealthcheckInstruction,
  InlineSource,
  InstructionKind,
  KeyValue,
  LabelInstruction,
  OnbuildInstruction,
  RunDevice,
  RunInstruction,
  ShellInstruction,
  VolumeInstruction,
} from './ast.js'
import { findFlag, type FlagKind, type Flags, readFlags } from './flags.js'
import { parseBool, parseCsvLine, parseDuration, parseInt32, ValueError } from './go-values.js'
import { chompHeredoc, isHeredocStart } from './heredoc.js'
import { type RawNode, rangeOfNode } from './nodes.js'
import { checkMountSpec } from './run-mount.js'
import { suggestion } from './suggest.js'
import { isSpace, lineNumbers, quote, type SourceText, trim } from './text.js'

const KINDS = [
  'add',
  'arg',
  'cmd',
  'copy',
  'entrypoint',
  'env',
  'expose',
  'from',
  'healthcheck',
  'label',
  'maintainer',
  'onbuild',
  'run',
  'shell',
  'stopsignal',
  'user',
  'volume',
  'workdir',
] as const satisfies readonly InstructionKind[]

const NO_FLAGS: Readonly<Record<string, FlagKind>> = {}

/** @throws DockerfileError UNKNOWN_INSTRUCTION | UNKNOWN_FLAG | FLAG_INVALID | ARGUMENT_INVALID */
export function readInstruction(node: RawNode, source: SourceText): AnyInstruction {
  return new InstructionReader(node, source).read()
}

class InstructionReader {
  readonly #node: RawNode
  readonly #range: SourceRange
  readonly #source: SourceText

  constructor(node: RawNode, source: SourceText) {
    this.#node = node
    this.#source = source
    this.#range = rangeOfNode(node, source)
  }

  read(): AnyInstruction {
    const keyword = this.#node.keyword.toLowerCase()
    const kind = KINDS.find((name) => name === keyword)
    switch (kind) {
      case 'add':
        return this.#add()
      case 'arg':
        return this.#arg()
      case 'cmd':
      case 'entrypoint':
        this.#flags(NO_FLAGS)
        return Object.assign(this.#base(kind), { command: this.#commandLine() })
      case 'copy':
        return this.#copy()
      case 'env':
      case 'label':
        return this.#pairs(kind)
      case 'expose':
        this.#atLeastOne()
        this.#flags(NO_FLAGS)
        return Object.assign(this.#base(kind), { ports: this.#node.args.toSorted(compareNames) })
      case 'from':
        return this.#from()
      case 'healthcheck':
        return this.#healthcheck()
      case 'maintainer':
        return Object.assign(this.#base(kind), { maintainer: this.#single() })
      case 'onbuild':
        return this.#onbuild()
      case 'run':
        return this.#run()
      case 'shell':
        return this.#shell()
      case 'stopsignal':
        // BuildKit never looks at its flags.
        return Object.assign(this.#base(kind), { signal: this.#exactlyOne() })
      case 'user':
        return Object.assign(this.#base(kind), { user: this.#single() })
      case 'volume':
        return this.#volume()
      case 'workdir':
        return Object.assign(this.#base(kind), { path: this.#single() })
      default:
        throw this.#unknown()
    }
  }

  /** The common part. Completed by Object.assign: a spread into literals this wide took as long as all the rest of parsing. */
  #base<Kind extends InstructionKind>(kind: Kind) {
    const { keyword, original, comments, flags, json, heredocs, line } = this.#node
    return {
      kind,
      keyword,
      text: trim(original),
      range: this.#range,
      comments,
      flags: flags.map((word) => {
        const at = word.text.indexOf('=')
        return {
          name: word.text.slice(2, at === -1 ? undefined : at),
          value: at === -1 ? undefined : word.text.slice(at + 1),
          range: line.range(word.from, word.to),
        }
      }),
      json,
      heredocs,
    }
  }

  #name(): string {
    return this.#node.keyword.toUpperCase()
  }

  #error(
    message: string,
    code: DockerfileErrorCode = 'ARGUMENT_INVALID',
    range = this.#range,
  ): DockerfileError {
    const data = { instruction: this.#node.keyword }
    const { startLine, endLine } = this.#node
    const lines = range === this.#range ? undefined : lineNumbers(startLine, endLine)
    return this.#source.error(code, message, range, { data, lines })
  }

  #unknown(): DockerfileError {
    const { keyword, line, at } = this.#node
    const hint = suggestion(keyword, KINDS, false)
    const range = line.range(at, at + keyword.length)
    return this.#error(`unknown instruction: ${keyword}${hint}`, 'UNKNOWN_INSTRUCTION', range)
  }

  #flags(known: Readonly<Record<string, FlagKind>>): Flags {
    return readFlags(this.#node, known)
  }

  /** Reads the value of a flag; a ValueError becomes one that points at the flag. */
  #flagValue<T>(name: string, index: number, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof ValueError)) throw error
      const word = findFlag(this.#node, name, index)
      const range = word === undefined ? this.#range : this.#node.line.range(word.from, word.to)
      throw this.#error(error.message, 'FLAG_INVALID', range)
    }
  }

  #atLeastOne(): void {
    if (this.#node.args.length === 0) throw this.#error(`${this.#name()} requires at least one argument`)
  }

  #exactlyOne(): string {
    const [only, ...rest] = this.#node.args
    if (only === undefined || rest.length > 0)
      throw this.#error(`${this.#name()} requires exactly one argument`)
    return only
  }

  /** One argument, no flags. */
  #single(): string {
    const argument = this.#exactlyOne()
    this.#flags(NO_FLAGS)
    return argument
  }

  #commandLine(args = this.#node.args): CommandLine {
    if (this.#node.json) return { form: 'exec', args }
    return { form: 'shell', args: args.length === 0 ? [] : [args.join(' ')] }
  }

  #comment(name: string): string | undefined {
    if (name === '') return undefined
    return this.#node.comments.find((text) => text.startsWith(`${name} `))?.slice(name.length + 1)
  }

  #from(): FromInstruction {
    const { args } = this.#node
    let name: string | undefined
    if (args.length === 3 && args[1]!.toLowerCase() === 'as') {
      name = args[2]!.toLowerCase()
      if (!/^[a-z][a-z0-9-_.]*$/.test(name)) {
        const reason = "name can't start with a number or contain symbols"
        throw this.#error(`invalid name for build stage: ${quote(args[2]!)}, ${reason}`)
      }
    } else if (args.length !== 1) {
      throw this.#error('FROM requires either one or three arguments')
    }
    const flags = this.#flags({ platform: 'string' })
    return Object.assign(this.#base('from'), {
      image: args[0]!,
      name,
      nameText: args[2],
      asText: args[1],
      platform: flags.string('platform'),
      description: this.#comment(name ?? ''),
    })
  }

  #arg(): ArgInstruction {
    // BuildKit never looks at its flags.
    this.#atLeastOne()
    const args = this.#node.args.map((word) => {
      const at = word.indexOf('=')
      if (at === 0) throw this.#error('ARG names can not be blank')
      const name = at === -1 ? word : word.slice(0, at)
      return { name, value: at === -1 ? undefined : word.slice(at + 1), description: this.#comment(name) }
    })
    return Object.assign(this.#base('arg'), { args })
  }

  #pairs(kind: 'env' | 'label'): EnvInstruction | LabelInstruction {
    this.#flags(NO_FLAGS)
    this.#atLeastOne()
    const { args } = this.#node
    const pairs: KeyValue[] = []
    for (let i = 0; i < args.length; i += 3) {
      const key = args[i]!
      if (key === '') throw this.#error(`${this.#name()} names can not be blank`)
      pairs.push({ key, value: args[i + 1]!, legacy: args[i + 2] === '' })
    }
    return kind === 'env'
      ? Object.assign(this.#base(kind), { pairs })
      : Object.assign(this.#base(kind), { pairs })
  }

  #needDestination(): void {
    if (this.#node.args.length >= 2) return
    const reason = 'but only one was provided. Destination could not be determined'
    throw this.#error(`${this.#name()} requires at least two arguments, ${reason}`)
  }

  #transfer() {
    const { args, heredocs } = this.#node
    const dest = args.at(-1)!
    if (isHeredocStart(dest) !== undefined) {
      throw this.#error(`${this.#name()} cannot accept a heredoc as a destination`)
    }
    const sources: string[] = []
    const inline: InlineSource[] = []
    for (const word of args.slice(0, -1)) {
      const start = isHeredocStart(word)
      if (start === undefined) {
        sources.push(word)
        continue
      }
      // Of several with one name the last body counts; in JSON form there is none.
      const content = heredocs.findLast((heredoc) => heredoc.name === start.name)?.content ?? ''
      inline.push({
        name: start.name,
        content: start.chomp ? chompHeredoc(content) : content,
        expand: start.expand,
      })
    }
    return { sources, inline, dest }
  }

  #copy(): CopyInstruction {
    this.#needDestination()
    const flags = this.#flags({
      chown: 'string',
      chmod: 'string',
      from: 'string',
      link: 'boolean',
      parents: 'boolean',
      exclude: 'strings',
    })
    const { sources, inline, dest } = this.#transfer()
    return Object.assign(this.#base('copy'), {
      sources,
      inline,
      dest,
      from: flags.string('from'),
      chown: flags.string('chown'),
      chmod: flags.string('chmod'),
      link: flags.boolean('link') ?? false,
      parents: flags.boolean('parents') ?? false,
      exclude: flags.strings('exclude'),
    })
  }

  #add(): AddInstruction {
    this.#needDestination()
    const flags = this.#flags({
      chown: 'string',
      chmod: 'string',
      link: 'boolean',
      'keep-git-dir': 'boolean',
      checksum: 'string',
      unpack: 'boolean',
      exclude: 'strings',
    })
    const { sources, inline, dest } = this.#transfer()
    return Object.assign(this.#base('add'), {
      sources,
      inline,
      dest,
      chown: flags.string('chown'),
      chmod: flags.string('chmod'),
      link: flags.boolean('link') ?? false,
      exclude: flags.strings('exclude'),
      checksum: flags.string('checksum'),
      keepGitDir: flags.boolean('keep-git-dir'),
      unpack: flags.boolean('unpack'),
    })
  }

  #onbuild(): OnbuildInstruction {
    this.#atLeastOne()
    this.#flags(NO_FLAGS)
    const trigger = trim(this.#node.args[0]!).toUpperCase()
    if (trigger === 'ONBUILD') throw this.#error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if (trigger === 'MAINTAINER' || trigger === 'FROM') {
      throw this.#error(`${trigger} isn't allowed as an ONBUILD trigger`)
    }
    const { original, keyword, heredocs } = this.#node
    let at = original.toLowerCase().indexOf(keyword.toLowerCase()) + keyword.length
    while (at < original.length && isSpace(original.charCodeAt(at)) && original.charCodeAt(at) < 0x80) at++
    const bodies = heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`)
    return Object.assign(this.#base('onbuild'), { expression: original.slice(at) + bodies.join('') })
  }

  #run(): RunInstruction {
    const flags = this.#flags({
      mount: 'strings',
      network: 'string',
      security: 'string',
      device: 'strings',
    })
    const mounts = flags.strings('mount')
    mounts.forEach((spec, index) => this.#flagValue('mount', index, () => checkMountSpec(spec)))
    const network = this.#choice('network', this.#given(flags, 'network'), [
      'default',
      'none',
      'host',
    ] as const)
    const security = this.#choice('security', this.#given(flags, 'security'), [
      'sandbox',
      'insecure',
    ] as const)
    const devices = flags
      .strings('device')
      .map((spec, index) => this.#flagValue('device', index, () => readDevice(spec)))
    return Object.assign(this.#base('run'), {
      command: this.#commandLine(),
      mounts,
      network,
      security,
      devices,
    })
  }

  /** The value of a flag where an empty one is a value. */
  #given(flags: Flags, name: string): string | undefined {
    return flags.strings(name)[0]
  }

  #choice<T extends string>(
    name: 'network' | 'security',
    value: string | undefined,
    allowed: readonly T[],
  ): T {
    if (value === undefined) return allowed[0]!
    const found = allowed.find((option) => option === value)
    if (found !== undefined) return found
    const problem = name === 'network' ? 'invalid network mode' : 'security'
    const message = `${problem} ${quote(value)}${name === 'security' ? ' is not valid' : ''}`
    return this.#flagValue(name, 0, () => {
      throw new ValueError(message)
    })
  }

  #shell(): ShellInstruction {
    this.#flags(NO_FLAGS)
    this.#atLeastOne()
    if (!this.#node.json) {
      throw this.#error('SHELL requires the arguments to be in JSON form')
    }
    return Object.assign(this.#base('shell'), { shell: this.#node.args })
  }

  #volume(): VolumeInstruction {
    this.#atLeastOne()
    this.#flags(NO_FLAGS)
    const volumes = this.#node.args.map(trim)
    if (volumes.includes('')) throw this.#error('VOLUME specified can not be an empty string')
    return Object.assign(this.#base('volume'), { volumes })
  }

  #healthcheck(): HealthcheckInstruction {
    this.#atLeastOne()
    const [word, ...rest] = this.#node.args
    const type = word!.toUpperCase()
    if (type === 'NONE') {
      if (rest.length > 0) throw this.#error('HEALTHCHECK NONE takes no arguments')
      return Object.assign(this.#base('healthcheck'), {
        test: ['NONE'],
        intervalNs: 0,
        timeoutNs: 0,
        startPeriodNs: 0,
        startIntervalNs: 0,
        retries: 0,
      })
    }
    const flags = this.#flags({
      interval: 'string',
      timeout: 'string',
      'start-period': 'string',
      'start-interval': 'string',
      retries: 'string',
    })
    if (type !== 'CMD') throw this.#error(`Unknown type ${quote(type)} in HEALTHCHECK (try CMD)`)
    const command = this.#commandLine(rest)
    if (command.args.length === 0) throw this.#error('Missing command after HEALTHCHECK CMD')
    return Object.assign(this.#base('healthcheck'), {
      test: [command.form === 'exec' ? 'CMD' : 'CMD-SHELL', ...command.args],
      intervalNs: this.#interval(flags, 'interval'),
      timeoutNs: this.#interval(flags, 'timeout'),
      startPeriodNs: this.#interval(flags, 'start-period'),
      startIntervalNs: this.#interval(flags, 'start-interval'),
      retries: this.#retries(flags),
    })
  }

  #interval(flags: Flags, name: string): number {
    const value = flags.string(name)
    if (value === undefined) return 0
    return this.#flagValue(name, 0, () => {
      const ns = parseDuration(value)
      if (ns !== 0n && ns < 1_000_000n)
        throw new ValueError(`Interval ${quote(name)} cannot be less than 1ms`)
      return Number(ns)
    })
  }

  #retries(flags: Flags): number {
    const value = flags.string('retries')
    if (value === undefined) return 0
    return this.#flagValue('retries', 0, () => {
      const retries = parseInt32(value)
      if (retries < 0) throw new ValueError(`--retries cannot be negative (${retries})`)
      return retries
    })
  }
}

function readDeviceFields(spec: string): string[] {
  try {
    return parseCsvLine(spec)
  } catch (error) {
    if (error instanceof ValueError) throw new ValueError(`failed to parse csv devices: ${error.message}`)
    throw error
  }
}

/** @see moby/buildkit frontend/dockerfile/instructions/commands_rundevice.go. @throws ValueError */
function readDevice(spec: string): RunDevice {
  let name = ''
  let required = false
  for (const field of readDeviceFields(spec)) {
    const at = field.indexOf('=')
    const key = (at === -1 ? field : field.slice(0, at)).toLowerCase()
    const value = at === -1 ? undefined : field.slice(at + 1)
    if (key === 'required') {
      const bool = parseBool(value ?? 'true')
      if (bool === undefined) throw new ValueError(`invalid value for ${key}: ${value}`)
      required = bool
    } else if (key === 'name' && value !== undefined) {
      if (name !== '') throw new ValueError(`device name already set to ${name}`)
      name = value
    } else if (name === '') {
      name = field
    } else if (value === undefined) {
      throw new ValueError(`invalid field '${field}' must be a key=value pair`)
    } else {
      throw new ValueError(`unexpected key '${key}' in '${field}'${suggestion(key, ['name', 'required'])}`)
    }
  }
  return { name, required }
}
