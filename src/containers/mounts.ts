// What is mounted in a container, as people write it: `-v` and `--mount` of docker. Pure.
// @see docker docs, storage/volumes and storage/bind-mounts; moby/moby volume/mounts/linux_parser.go
import { ContainerError } from '../errors.js'
import { normalizePath } from '../path.js'
import { checkVolumeName } from './names.js'

/** A mount that is asked for. `volume` without a name is a new anonymous one. */
export type MountRequest =
  | {
      readonly type: 'volume'
      readonly target: string
      readonly volume?: string | undefined
      readonly readOnly?: boolean | undefined
      /** Leave an empty volume empty, whatever the image has at the target. */
      readonly noCopy?: boolean | undefined
    }
  | {
      readonly type: 'bind'
      readonly target: string
      readonly source: string
      readonly readOnly?: boolean | undefined
    }
  | { readonly type: 'tmpfs'; readonly target: string }

/** Modes of `-v` that mean nothing here: SELinux labels, propagation and consistency are matters of a kernel's mounts. */
const IGNORED_MODES = new Set(
  'z Z consistent cached delegated private rprivate shared rshared slave rslave'.split(' '),
)

/**
 * `[SOURCE:]TARGET[:MODES]`: a name is a volume, an absolute path a host folder; without a source the volume is anonymous.
 * @throws ContainerError MOUNT_INVALID | VOLUME_NAME_INVALID
 */
export function parseVolumeFlag(text: string): MountRequest {
  const parts = text.split(':')
  if (parts.length > 3 || parts.includes('')) throw invalid(text, 'expected [SOURCE:]TARGET[:ro]')
  const [first, second, modes] = parts.length === 1 ? [undefined, parts[0]!, undefined] : parts
  const target = mountTarget(second!, text)
  const { readOnly, noCopy } = readModes(modes, text)
  if (first === undefined) return { type: 'volume', target, readOnly, noCopy }
  if (first.startsWith('/')) return { type: 'bind', source: first, target, readOnly }
  if (/^\.{1,2}(\/|$)|^~/.test(first)) throw invalid(text, 'a host folder must be an absolute path')
  return { type: 'volume', volume: checkVolumeName(first), target, readOnly, noCopy }
}

function readModes(modes: string | undefined, text: string): { readOnly: boolean; noCopy: boolean } {
  const words = modes?.split(',') ?? []
  const unknown = words.find(
    (word) => !['ro', 'rw', 'readonly', 'nocopy'].includes(word) && !IGNORED_MODES.has(word),
  )
  if (unknown !== undefined) throw invalid(text, `unknown mode ${JSON.stringify(unknown)}`)
  if (words.includes('rw') && (words.includes('ro') || words.includes('readonly'))) {
    throw invalid(text, 'both ro and rw')
  }
  return { readOnly: words.includes('ro') || words.includes('readonly'), noCopy: words.includes('nocopy') }
}

/**
 * `type=volume|bind|tmpfs,source=…,target=…,readonly`, fields in any order.
 * @throws ContainerError MOUNT_INVALID | VOLUME_NAME_INVALID
 */
export function parseMountFlag(text: string): MountRequest {
  const fields = new Map<string, string>()
  for (const field of text.split(',')) {
    const at = field.indexOf('=')
    const key = (at === -1 ? field : field.slice(0, at)).trim().toLowerCase()
    const name = FIELD_NAMES.get(key)
    if (name === undefined) throw invalid(text, `unknown field ${JSON.stringify(key)}`)
    fields.set(name, at === -1 ? 'true' : field.slice(at + 1))
  }
  const type = fields.get('type') ?? 'volume'
  const given = fields.get('target')
  if (given === undefined || given === '') throw invalid(text, 'target is missing')
  const target = mountTarget(given, text)
  const source = fields.get('source')
  const readOnly = ['true', '1', ''].includes(fields.get('readonly') ?? 'false')
  if (type === 'tmpfs') {
    if (source !== undefined) throw invalid(text, 'a tmpfs has no source')
    return { type, target }
  }
  if (type === 'bind') {
    if (source === undefined || !source.startsWith('/')) {
      throw invalid(text, 'the source of a bind mount must be an absolute path')
    }
    return { type, source, target, readOnly }
  }
  if (type !== 'volume') throw invalid(text, `unknown type ${JSON.stringify(type)}`)
  const noCopy = ['true', '1', ''].includes(fields.get('volume-nocopy') ?? 'false')
  const volume = source === undefined || source === '' ? undefined : checkVolumeName(source)
  return { type, volume, target, readOnly, noCopy }
}

const FIELD_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    type: 'type',
    source: 'source',
    src: 'source',
    target: 'target',
    dst: 'target',
    destination: 'target',
    readonly: 'readonly',
    ro: 'readonly',
    'volume-nocopy': 'volume-nocopy',
  }),
)

/** Absolute, without `.`, `..` and double slashes. @throws ContainerError MOUNT_INVALID */
export function mountTarget(path: string, text = path): string {
  if (!path.startsWith('/')) throw invalid(text, `the target ${JSON.stringify(path)} is not an absolute path`)
  const clean = normalizePath(path)
  if (clean === '') throw invalid(text, 'the target must not be /')
  return `/${clean}`
}

function invalid(text: string, why: string): ContainerError {
  return new ContainerError('MOUNT_INVALID', `mount ${JSON.stringify(text)}: ${why}`, {
    data: { mount: text },
  })
}

/** Parents before what is mounted below them. */
export function inMountOrder<T extends { readonly target: string }>(mounts: readonly T[]): T[] {
  const depth = ({ target }: T) => target.split('/').length
  return [...mounts].sort((a, b) => depth(a) - depth(b))
}
