// RUN: its command and its flags.
// @see moby/buildkit frontend/dockerfile/instructions/parse.go
import type { RunDevice, RunInstruction } from './ast.js'
import type { Flags } from './flags.js'
import { parseBool, parseCsvLine, ValueError } from './go-values.js'
import type { InstructionReader } from './instruction-reader.js'
import { checkMountSpec } from './run-mount.js'
import { suggestion } from './suggest.js'
import { quote } from './text.js'

export function readRun(reader: InstructionReader): RunInstruction {
  const flags = reader.flags({
    mount: 'strings',
    network: 'string',
    security: 'string',
    device: 'strings',
  })
  const mounts = flags.strings('mount')
  mounts.forEach((spec, index) => reader.flagValue('mount', index, () => checkMountSpec(spec)))
  const network = readChoice(reader, 'network', given(flags, 'network'), ['default', 'none', 'host'] as const)
  const security = readChoice(reader, 'security', given(flags, 'security'), ['sandbox', 'insecure'] as const)
  const devices = flags
    .strings('device')
    .map((spec, index) => reader.flagValue('device', index, () => readDevice(spec)))
  return Object.assign(reader.base('run'), {
    command: reader.commandLine(),
    mounts,
    network,
    security,
    devices,
  })
}

/** The value of a flag where an empty one is a value. */
function given(flags: Flags, name: string): string | undefined {
  return flags.strings(name)[0]
}

function readChoice<T extends string>(
  reader: InstructionReader,
  name: 'network' | 'security',
  value: string | undefined,
  allowed: readonly T[],
): T {
  if (value === undefined) return allowed[0]!
  const found = allowed.find((option) => option === value)
  if (found !== undefined) return found
  const problem = name === 'network' ? 'invalid network mode' : 'security'
  const message = `${problem} ${quote(value)}${name === 'security' ? ' is not valid' : ''}`
  return reader.flagValue(name, 0, () => {
    throw new ValueError(message)
  })
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
