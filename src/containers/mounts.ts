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
  | {
      readonly type: 'tmpfs'
      readonly target: string
      /** How many bytes it may hold; default no limit, but in the sandbox the kernel's (half of the memory). */
      readonly sizeBytes?: number | undefined
      /** Of its root. Default 0o1777. */
      readonly mode?: number | undefined
      readonly readOnly?: boolean | undefined
    }

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

/** Options of tmpfs(5) that mean nothing here: a sandbox has neither devices nor set-id programs in any case. */
const IGNORED_OPTIONS = new Set(
  'rw exec noexec suid nosuid dev nodev async sync atime noatime diratime nodiratime relatime norelatime strictatime'.split(
    ' ',
  ),
)

/**
 * `TARGET[:OPTIONS]`, options as tmpfs(5) has them: `size=64m,mode=1770,ro`.
 * @throws ContainerError MOUNT_INVALID
 */
export function parseTmpfsFlag(text: string): MountRequest {
  const at = text.indexOf(':')
  const target = mountTarget(at === -1 ? text : text.slice(0, at), text)
  let [sizeBytes, mode, readOnly]: [number | undefined, number | undefined, boolean] = [
    undefined,
    undefined,
    false,
  ]
  for (const option of at === -1 ? [] : text.slice(at + 1).split(',')) {
    const [name, value = ''] = option.split('=') as [string, string?]
    if (name === 'size') sizeBytes = sizeOf(value, text)
    else if (name === 'mode') mode = modeOf(value, text)
    else if (name === 'ro') readOnly = true
    else if (!IGNORED_OPTIONS.has(option)) throw invalid(text, `unknown option ${JSON.stringify(option)}`)
  }
  return { type: 'tmpfs', target, sizeBytes, mode, readOnly }
}

/** Powers of 1024. 0 is no limit. */
function sizeOf(value: string, text: string): number | undefined {
  const match = /^(\d+)([kmgt]?)i?b?$/i.exec(value)
  if (match === null) throw invalid(text, `${JSON.stringify(value)} is no size`)
  const size = Number(match[1]) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(match[2]!.toLowerCase())
  return size === 0 ? undefined : size
}

function modeOf(value: string, text: string): number {
  if (/^[0-7]{1,5}$/.test(value)) return Number.parseInt(value, 8) & 0o7777
  throw invalid(text, `${JSON.stringify(value)} is no mode`)
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
    const [size, mode] = [fields.get('tmpfs-size'), fields.get('tmpfs-mode')]
    return {
      type,
      target,
      sizeBytes: size === undefined ? undefined : sizeOf(size, text),
      mode: mode === undefined ? undefined : modeOf(mode, text),
      readOnly,
    }
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
    'tmpfs-size': 'tmpfs-size',
    'tmpfs-mode': 'tmpfs-mode',
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
