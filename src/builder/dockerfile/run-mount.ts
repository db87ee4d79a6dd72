// One `--mount` of RUN: CSV fields, keys, and which go together.
// @see moby/buildkit frontend/dockerfile/instructions/commands_runmount.go
import type { MountType, RunMount } from './ast.js'
import { parseBool, parseCsvLine, parseUint32, ValueError } from './go-values.js'
import { suggestion } from './suggest.js'
import { quote } from './text.js'

const TYPES: readonly MountType[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh']
const SHARINGS = ['shared', 'private', 'locked'] as const
const KEYS = [
  'type',
  'from',
  'source',
  'target',
  'readonly',
  'id',
  'sharing',
  'required',
  'size',
  'mode',
  'uid',
  'gid',
  'src',
  'dst',
  'destination',
  'ro',
  'rw',
  'readwrite',
  'env',
]

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function emptyMount(): Mutable<RunMount> {
  return {
    type: 'bind',
    from: undefined,
    source: undefined,
    target: undefined,
    readOnly: true,
    sizeBytes: undefined,
    id: undefined,
    sharing: undefined,
    required: false,
    env: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
  }
}

function readFields(spec: string): string[] {
  try {
    return parseCsvLine(spec)
  } catch (error) {
    if (error instanceof ValueError) throw new ValueError(`failed to parse csv mounts: ${error.message}`)
    throw error
  }
}

function cut(field: string): { key: string; value: string | undefined } {
  const at = field.indexOf('=')
  if (at === -1) return { key: field.toLowerCase(), value: undefined }
  return { key: field.slice(0, at).toLowerCase(), value: field.slice(at + 1) }
}

/**
 * What can be said of a mount before variables are known: the CSV and that `from` holds none.
 *
 * @returns the value of `from`
 * @throws ValueError
 */
export function checkMountSpec(spec: string): string | undefined {
  let from: string | undefined
  for (const field of readFields(spec)) {
    const { key, value } = cut(field)
    if (key !== 'from' || value === undefined) continue
    if (/\$[^\n]/.test(value)) {
      throw new ValueError(`'${key}' doesn't support variable expansion, define alias stage instead`)
    }
    from = value
  }
  return from
}

/** @param expand  expands one value; what it throws passes through. @throws ValueError */
export function readMountSpec(spec: string, expand: (word: string) => string): RunMount {
  const mount = emptyMount()
  let readOnly: boolean | undefined
  for (const field of readFields(spec)) {
    const { key, value } = cut(field)
    if (value === undefined) {
      if (key === 'readonly' || key === 'ro') readOnly = true
      else if (key === 'readwrite' || key === 'rw') readOnly = false
      else if (key === 'required') setRequired(mount, key, 'true')
      else throw new ValueError(`invalid field '${field}' must be a key=value pair`)
      continue
    }
    const expanded = expand(value)
    if (key === 'readonly' || key === 'ro') readOnly = readBool(key, expanded)
    else if (key === 'readwrite' || key === 'rw') readOnly = !readBool(key, expanded)
    else setField(mount, key, expanded, field)
  }
  mount.readOnly = readOnly ?? !(mount.type === 'cache' || mount.type === 'tmpfs')
  checkTogether(mount)
  return mount
}

function readBool(key: string, value: string): boolean {
  const bool = parseBool(value)
  if (bool === undefined) throw new ValueError(`invalid value for ${key}: ${value}`)
  return bool
}

function setRequired(mount: Mutable<RunMount>, key: string, value: string): void {
  if (mount.type !== 'secret' && mount.type !== 'ssh') {
    throw new ValueError(`unexpected key '${key}' for mount type '${mount.type}'`)
  }
  mount.required = readBool(key, value)
}

function setField(mount: Mutable<RunMount>, key: string, value: string, field: string): void {
  switch (key) {
    case 'type':
      mount.type = oneOf(TYPES, value, 'unsupported mount type')
      return
    case 'from':
      mount.from = value || undefined
      return
    case 'source':
    case 'src':
      mount.source = value || undefined
      return
    case 'target':
    case 'dst':
    case 'destination':
      mount.target = value || undefined
      return
    case 'required':
      return setRequired(mount, key, value)
    case 'size':
      return setSize(mount, key, value)
    case 'id':
      mount.id = value || undefined
      return
    case 'env':
      mount.env = value
      return
    case 'sharing':
      mount.sharing = oneOf(SHARINGS, value, 'unsupported sharing value')
      return
    case 'mode':
    case 'uid':
    case 'gid': {
      const number = parseUint32(value, key === 'mode' ? 8 : 10)
      if (number === undefined) throw new ValueError(`invalid value ${value} for ${key}`)
      mount[key] = number
      return
    }
    default:
      throw new ValueError(`unexpected key '${key}' in '${field}'${suggestion(key, KEYS)}`)
  }
}

function oneOf<T extends string>(allowed: readonly T[], value: string, problem: string): T {
  const lower = value.toLowerCase()
  const found = allowed.find((option) => option === lower)
  if (found === undefined) throw new ValueError(`${problem} ${quote(value)}${suggestion(value, allowed)}`)
  return found
}

function setSize(mount: Mutable<RunMount>, key: string, value: string): void {
  if (mount.type !== 'tmpfs') throw new ValueError(`unexpected key '${key}' for mount type '${mount.type}'`)
  const bytes = parseRamBytes(value)
  if (bytes === undefined) throw new ValueError(`invalid value for ${key}: ${value}`)
  mount.sizeBytes = bytes
}

/** Sizes like `64m`, `1.5GB`, `100`: powers of 1024. @see docker/go-units RAMInBytes */
export function parseRamBytes(text: string): number | undefined {
  const match = /^([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?([kKmMgGtTpP]?)(?:[iI]?[bB])?$/.exec(text)
  if (match === null) return undefined
  const power = match[2] === '' ? 0 : 'kmgtp'.indexOf(match[2]!.toLowerCase()) + 1
  return Math.floor(Number(match[1]) * 1024 ** power)
}

function checkTogether(mount: RunMount): void {
  const { type } = mount
  if (type === 'bind' || type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (mount[key] !== undefined) throw new ValueError(`${key} not allowed for ${quote(type)} type mounts`)
    }
  }
  if (type === 'secret') {
    if (mount.from !== undefined) throw new ValueError('secret mount should not have a from')
    if (mount.sharing !== undefined) throw new ValueError('secret mount should not define sharing')
    if (mount.source === undefined && mount.target === undefined && mount.id === undefined) {
      throw new ValueError('invalid secret mount. one of source, target required')
    }
    if (mount.source !== undefined && mount.id !== undefined) {
      throw new ValueError("both source and id can't be set")
    }
  }
  if (mount.sharing !== undefined && type !== 'cache') {
    throw new ValueError(`invalid cache sharing set for ${type} mount`)
  }
}
