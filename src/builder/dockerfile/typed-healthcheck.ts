// HEALTHCHECK: its command, its times in nanoseconds.
// @see moby/buildkit frontend/dockerfile/instructions/parse.go
import type { HealthcheckInstruction } from './ast.js'
import type { Flags } from './flags.js'
import { parseDuration, parseInt32, ValueError } from './go-values.js'
import type { InstructionReader } from './instruction-reader.js'
import { quote } from './text.js'

export function readHealthcheck(reader: InstructionReader): HealthcheckInstruction {
  reader.atLeastOne()
  const [word, ...rest] = reader.node.args
  const type = word!.toUpperCase()
  if (type === 'NONE') {
    if (rest.length > 0) throw reader.error('HEALTHCHECK NONE takes no arguments')
    return Object.assign(reader.base('healthcheck'), {
      test: ['NONE'],
      intervalNs: 0,
      timeoutNs: 0,
      startPeriodNs: 0,
      startIntervalNs: 0,
      retries: 0,
    })
  }
  const flags = reader.flags({
    interval: 'string',
    timeout: 'string',
    'start-period': 'string',
    'start-interval': 'string',
    retries: 'string',
  })
  if (type !== 'CMD') throw reader.error(`Unknown type ${quote(type)} in HEALTHCHECK (try CMD)`)
  const command = reader.commandLine(rest)
  if (command.args.length === 0) throw reader.error('Missing command after HEALTHCHECK CMD')
  return Object.assign(reader.base('healthcheck'), {
    test: [command.form === 'exec' ? 'CMD' : 'CMD-SHELL', ...command.args],
    intervalNs: readInterval(reader, flags, 'interval'),
    timeoutNs: readInterval(reader, flags, 'timeout'),
    startPeriodNs: readInterval(reader, flags, 'start-period'),
    startIntervalNs: readInterval(reader, flags, 'start-interval'),
    retries: readRetries(reader, flags),
  })
}

function readInterval(reader: InstructionReader, flags: Flags, name: string): number {
  const value = flags.string(name)
  if (value === undefined) return 0
  return reader.flagValue(name, 0, () => {
    const ns = parseDuration(value)
    if (ns !== 0n && ns < 1_000_000n) throw new ValueError(`Interval ${quote(name)} cannot be less than 1ms`)
    return Number(ns)
  })
}

function readRetries(reader: InstructionReader, flags: Flags): number {
  const value = flags.string('retries')
  if (value === undefined) return 0
  return reader.flagValue('retries', 0, () => {
    const retries = parseInt32(value)
    if (retries < 0) throw new ValueError(`--retries cannot be negative (${retries})`)
    return retries
  })
}
