// Raw nodes → typed instructions: which flags and how many arguments each instruction takes. Checks stand in BuildKit's order,
// so that a line with two faults is refused for the same one.
// @see moby/buildkit frontend/dockerfile/instructions/parse.go
import type { DockerfileError } from '../../errors.js'
import { compareNames } from '../../path.js'
import type {
  AnyInstruction,
  ArgInstruction,
  EnvInstruction,
  FromInstruction,
  InstructionKind,
  KeyValue,
  LabelInstruction,
  OnbuildInstruction,
  ShellInstruction,
  VolumeInstruction,
} from './ast.js'
import { InstructionReader, NO_FLAGS } from './instruction-reader.js'
import type { RawNode } from './nodes.js'
import { suggestion } from './suggest.js'
import { isSpace, quote, type SourceText, trim } from './text.js'
import { readHealthcheck } from './typed-healthcheck.js'
import { readRun } from './typed-run.js'
import { readAdd, readCopy } from './typed-transfer.js'

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

/** @throws DockerfileError UNKNOWN_INSTRUCTION | UNKNOWN_FLAG | FLAG_INVALID | ARGUMENT_INVALID */
export function readInstruction(node: RawNode, source: SourceText): AnyInstruction {
  const reader = new InstructionReader(node, source)
  const keyword = node.keyword.toLowerCase()
  const kind = KINDS.find((name) => name === keyword)
  switch (kind) {
    case 'add':
      return readAdd(reader)
    case 'arg':
      return readArg(reader)
    case 'cmd':
    case 'entrypoint':
      reader.flags(NO_FLAGS)
      return Object.assign(reader.base(kind), { command: reader.commandLine() })
    case 'copy':
      return readCopy(reader)
    case 'env':
    case 'label':
      return readPairs(reader, kind)
    case 'expose':
      reader.atLeastOne()
      reader.flags(NO_FLAGS)
      return Object.assign(reader.base(kind), { ports: node.args.toSorted(compareNames) })
    case 'from':
      return readFrom(reader)
    case 'healthcheck':
      return readHealthcheck(reader)
    case 'maintainer':
      return Object.assign(reader.base(kind), { maintainer: reader.single() })
    case 'onbuild':
      return readOnbuild(reader)
    case 'run':
      return readRun(reader)
    case 'shell':
      return readShell(reader)
    case 'stopsignal':
      // BuildKit never looks at its flags.
      return Object.assign(reader.base(kind), { signal: reader.exactlyOne() })
    case 'user':
      return Object.assign(reader.base(kind), { user: reader.single() })
    case 'volume':
      return readVolume(reader)
    case 'workdir':
      return Object.assign(reader.base(kind), { path: reader.single() })
    default:
      throw unknownInstruction(reader)
  }
}

function unknownInstruction(reader: InstructionReader): DockerfileError {
  const { keyword, line, at } = reader.node
  const hint = suggestion(keyword, KINDS, false)
  const range = line.range(at, at + keyword.length)
  return reader.error(`unknown instruction: ${keyword}${hint}`, 'UNKNOWN_INSTRUCTION', range)
}

function readFrom(reader: InstructionReader): FromInstruction {
  const { args } = reader.node
  let name: string | undefined
  if (args.length === 3 && args[1]!.toLowerCase() === 'as') {
    name = args[2]!.toLowerCase()
    if (!/^[a-z][a-z0-9-_.]*$/.test(name)) {
      const reason = "name can't start with a number or contain symbols"
      throw reader.error(`invalid name for build stage: ${quote(args[2]!)}, ${reason}`)
    }
  } else if (args.length !== 1) {
    throw reader.error('FROM requires either one or three arguments')
  }
  const flags = reader.flags({ platform: 'string' })
  return Object.assign(reader.base('from'), {
    image: args[0]!,
    name,
    nameText: args[2],
    asText: args[1],
    platform: flags.string('platform'),
    description: reader.comment(name ?? ''),
  })
}

function readArg(reader: InstructionReader): ArgInstruction {
  // BuildKit never looks at its flags.
  reader.atLeastOne()
  const args = reader.node.args.map((word) => {
    const at = word.indexOf('=')
    if (at === 0) throw reader.error('ARG names can not be blank')
    const name = at === -1 ? word : word.slice(0, at)
    return { name, value: at === -1 ? undefined : word.slice(at + 1), description: reader.comment(name) }
  })
  return Object.assign(reader.base('arg'), { args })
}

function readPairs(reader: InstructionReader, kind: 'env' | 'label'): EnvInstruction | LabelInstruction {
  reader.flags(NO_FLAGS)
  reader.atLeastOne()
  const { args } = reader.node
  const pairs: KeyValue[] = []
  for (let i = 0; i < args.length; i += 3) {
    const key = args[i]!
    if (key === '') throw reader.error(`${reader.name()} names can not be blank`)
    pairs.push({ key, value: args[i + 1]!, legacy: args[i + 2] === '' })
  }
  return kind === 'env'
    ? Object.assign(reader.base(kind), { pairs })
    : Object.assign(reader.base(kind), { pairs })
}

function readOnbuild(reader: InstructionReader): OnbuildInstruction {
  reader.atLeastOne()
  reader.flags(NO_FLAGS)
  const trigger = trim(reader.node.args[0]!).toUpperCase()
  if (trigger === 'ONBUILD') throw reader.error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
  if (trigger === 'MAINTAINER' || trigger === 'FROM') {
    throw reader.error(`${trigger} isn't allowed as an ONBUILD trigger`)
  }
  const { original, keyword, heredocs } = reader.node
  let at = original.toLowerCase().indexOf(keyword.toLowerCase()) + keyword.length
  while (at < original.length && isSpace(original.charCodeAt(at)) && original.charCodeAt(at) < 0x80) at++
  const bodies = heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`)
  return Object.assign(reader.base('onbuild'), { expression: original.slice(at) + bodies.join('') })
}

function readShell(reader: InstructionReader): ShellInstruction {
  reader.flags(NO_FLAGS)
  reader.atLeastOne()
  if (!reader.node.json) {
    throw reader.error('SHELL requires the arguments to be in JSON form')
  }
  return Object.assign(reader.base('shell'), { shell: reader.node.args })
}

function readVolume(reader: InstructionReader): VolumeInstruction {
  reader.atLeastOne()
  reader.flags(NO_FLAGS)
  const volumes = reader.node.args.map(trim)
  if (volumes.includes('')) throw reader.error('VOLUME specified can not be an empty string')
  return Object.assign(reader.base('volume'), { volumes })
}
