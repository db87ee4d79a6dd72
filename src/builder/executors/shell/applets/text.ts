// Small commands over bytes that just-bash lacks: cmp, dd, sync.
import { parseOptions } from '../options.js'
import { errorText, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { parseSize } from './shared.js'

function readInput(io: AppletIO, operand: string): Uint8Array {
  return operand === '-' ? io.stdin : (io.fs.readFileSync(io.path(operand)) as Uint8Array)
}

export const cmp: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'slb',
    values: 'ni',
    long: { silent: 's', quiet: 's', bytes: 'n' },
  })
  const [first, second = '-'] = options.operands
  if (first === undefined) throw new UsageError('missing operand', 2)
  const contents: Uint8Array[] = []
  for (const operand of [first, second]) {
    try {
      contents.push(readInput(io, operand))
    } catch (error) {
      if (!options.has('s')) io.warn(`${operand}: ${errorText(error)}`)
      return 2
    }
  }
  return compare(io, [first, second], contents as [Uint8Array, Uint8Array], options.has('s'))
}

function compare(
  io: AppletIO,
  names: [string, string],
  [a, b]: [Uint8Array, Uint8Array],
  silent: boolean,
): number {
  let line = 1
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    if (a[at] !== b[at]) {
      if (!silent) io.out(`${names[0]} ${names[1]} differ: char ${at + 1}, line ${line}\n`)
      return 1
    }
    if (a[at] === 10) line++
  }
  if (a.length === b.length) return 0
  if (!silent)
    io.warn(`EOF on ${a.length < b.length ? names[0] : names[1]} after byte ${Math.min(a.length, b.length)}`)
  return 1
}

const ZERO_DEVICES = new Set(['/dev/zero'])

export const dd: Applet = (args, io) => {
  const values = new Map(args.map((arg) => arg.split(/=(.*)/s, 2) as [string, string]))
  const unknown = [...values.keys()].find(
    (key) => !['if', 'of', 'bs', 'ibs', 'obs', 'count', 'skip', 'seek', 'conv', 'status'].includes(key),
  )
  if (unknown !== undefined) throw new UsageError(`unrecognized operand '${unknown}'`)
  const size = (key: string, otherwise: number) => (values.has(key) ? parseSize(values.get(key)!) : otherwise)
  const block = size('bs', size('ibs', 512))
  const count = values.has('count') ? size('count', 0) : undefined
  const from = values.get('if')
  let input: Uint8Array
  if (from !== undefined && ZERO_DEVICES.has(from)) {
    if (count === undefined) throw new UsageError('an endless input needs count=')
    input = new Uint8Array(block * count)
  } else {
    const whole = readInput(io, from ?? '-')
    const start = size('skip', 0) * block
    input = whole.subarray(start, count === undefined ? undefined : start + count * block)
  }
  writeOutput(io, values, input, size('seek', 0) * size('bs', size('obs', 512)))
  if (values.get('status') !== 'none') {
    io.warn(`${Math.floor(input.length / block)}+${input.length % block === 0 ? 0 : 1} records`)
  }
  return 0
}

function writeOutput(io: AppletIO, values: ReadonlyMap<string, string>, input: Uint8Array, at: number): void {
  const to = values.get('of')
  if (to === undefined) return io.out(input)
  const path = io.path(to)
  const before =
    io.fs.statSync(path, { throwIfNoEntry: false }) === undefined
      ? undefined
      : (io.fs.readFileSync(path) as Uint8Array)
  const keep = (values.get('conv') ?? '').split(',').includes('notrunc')
    ? (before?.length ?? 0)
    : Math.min(at, before?.length ?? 0)
  const out = new Uint8Array(Math.max(keep, at + input.length))
  out.set((before ?? new Uint8Array()).subarray(0, keep))
  out.set(input, at)
  io.fs.writeFileSync(path, out)
  if (before === undefined) io.fs.chmodSync(path, 0o666 & ~io.process.umask)
}

export const sync: Applet = () => 0
