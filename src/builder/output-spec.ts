// Where else a built image goes, besides the store, and the text form in which people ask for it. Pure.
// @see docker/buildx util/buildflags/export.go, build/opt.go; moby/buildkit exporter/containerimage/opts.go
import { BuildError } from '../errors.js'
import type { ExportSettings } from '../oci/index.js'
import { parseCsvLine } from './dockerfile/index.js'

/** Takes chunks in order; the next comes when the promise is fulfilled. */
export type ByteSink = (chunk: Uint8Array) => Promise<void> | void

export type BuildOutput =
  /** An OCI layout or `docker load`able image: one tar, or a folder with `tar: false`. */
  | ({
      readonly type: 'oci' | 'docker'
      readonly dest: string | ByteSink
      readonly tar?: boolean
      /** Names in the archive, besides the build's tags. */
      readonly names?: readonly string[]
    } & ExportSettings)
  /** The root file system as one tar. */
  | { readonly type: 'tar'; readonly dest: string | ByteSink }
  /** The root file system in a folder; files that are there already are replaced. */
  | { readonly type: 'local'; readonly dest: string }
  /** Only the store, which has the image anyway. */
  | { readonly type: 'image'; readonly names?: readonly string[] }

const COMPRESSIONS: Readonly<Record<string, 'none' | 'gzip' | 'zstd'>> = {
  uncompressed: 'none',
  gzip: 'gzip',
  zstd: 'zstd',
}

/** Levels that zlib and zstd know. */
const LEVELS = { none: [0, 0], gzip: [0, 9], zstd: [1, 22] } as const

/** What one `--output` says. */
export interface ParsedOutput {
  readonly output: BuildOutput
  /** `rewrite-timestamp=true`, or `false`; `undefined` where it is not said. */
  readonly rewriteTimestamp: boolean | undefined
}

type Fields = ReadonlyMap<string, string>

/**
 * Reads `type=oci,dest=app.tar`, or a path alone, which is a folder, or `-`, which is a tar on standard output. Fields are
 * those of a line of CSV: `type=oci,"annotation.by=me, you",dest=a`. Names that are not known are passed over, as in
 * BuildKit.
 *
 * @param stdout  what `dest=-` writes to
 * @throws BuildError OPTION_INVALID
 */
export function parseOutput(text: string, stdout: ByteSink): ParsedOutput {
  // Nothing said is the default, which is the store.
  if (text === '') return { output: { type: 'image' }, rewriteTimestamp: undefined }
  const found = splitFields(text)
  if (found.length === 1 && found[0] === text && !text.startsWith('type=')) {
    const output: BuildOutput = text === '-' ? { type: 'tar', dest: stdout } : { type: 'local', dest: text }
    return { output, rewriteTimestamp: undefined }
  }
  const fields = new Map<string, string>()
  for (const field of found) {
    const at = field.indexOf('=')
    if (at <= 0) throw invalid(text, `${JSON.stringify(field)} is not KEY=VALUE`)
    fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1))
  }
  return {
    output: outputOf(text, fields, stdout),
    rewriteTimestamp: flag(text, fields, 'rewrite-timestamp', undefined),
  }
}

function splitFields(text: string): readonly string[] {
  try {
    return parseCsvLine(text)
  } catch (error) {
    throw invalid(text, (error as Error).message)
  }
}

function outputOf(text: string, fields: Fields, stdout: ByteSink): BuildOutput {
  const type = fields.get('type')
  const dest = fields.get('dest')
  const isStdout = dest === undefined || dest === '' || dest === '-'
  switch (type) {
    case 'image':
      if (flag(text, fields, 'push', false)) throw invalid(text, 'there is no push to a registry')
      return { type, ...namesOf(fields) }
    case 'cacheonly':
      return { type: 'image' }
    case 'registry':
      throw invalid(text, 'there is no push to a registry')
    case 'local':
      if (dest === undefined || dest === '') throw invalid(text, 'dest is required for local exporter')
      if (dest === '-') throw invalid(text, 'dest cannot be stdout for local exporter')
      return { type, dest }
    case 'tar':
      return { type, dest: isStdout ? stdout : dest }
    case 'docker':
      // Without a place it is loaded into docker's store: for us, our own.
      if (dest === undefined || dest === '') return { type: 'image', ...namesOf(fields) }
      return archiveOf(text, type, fields, dest === '-' ? stdout : dest)
    case 'oci':
      return archiveOf(text, type, fields, isStdout ? stdout : dest)
    default:
      throw invalid(
        text,
        `type is ${JSON.stringify(type ?? '')}, one of oci, docker, tar, local, image, cacheonly is known`,
      )
  }
}

function archiveOf(
  text: string,
  type: 'oci' | 'docker',
  fields: Fields,
  dest: string | ByteSink,
): BuildOutput {
  const tar = flag(text, fields, 'tar', true)
  if (!tar && typeof dest !== 'string') throw invalid(text, `dest is required for ${type} exporter`)
  const isOci = flag(text, fields, 'oci-mediatypes', type === 'oci')
  return {
    type,
    tar,
    dest,
    mediaTypes: isOci ? 'oci' : 'docker',
    ...compressionOf(text, fields),
    ...annotationsOf(text, fields),
    ...namesOf(fields),
  }
}

function namesOf(fields: Fields): { names?: readonly string[] } {
  const name = fields.get('name')
  return name === undefined ? {} : { names: name.split(',').filter((it) => it !== '') }
}

function compressionOf(
  text: string,
  fields: Fields,
): Pick<ExportSettings, 'compression' | 'level' | 'force'> {
  const force = flag(text, fields, 'force-compression', false) ? { force: true } : {}
  const name = fields.get('compression') ?? ''
  const compression = name === '' ? 'gzip' : COMPRESSIONS[name]
  if (compression === undefined) {
    const known = Object.keys(COMPRESSIONS).join(', ')
    throw invalid(text, `unsupported compression type ${name}, one of ${known} is known`)
  }
  const level = fields.get('compression-level')
  const asked = name === '' ? {} : { compression }
  if (level === undefined || compression === 'none') return { ...force, ...asked }
  const [least, most] = LEVELS[compression]
  const number = /^\d{1,3}$/.test(level) ? Number(level) : Number.NaN
  if (number >= least && number <= most) return { ...force, ...asked, level: number }
  throw invalid(text, `compression-level is ${JSON.stringify(level)}, not a number from ${least} to ${most}`)
}

const ANNOTATION = /^annotation(?:-([a-z-]+))?(?:\[([^\]]*)\])?\.(.+)$/s

/**
 * `annotation.KEY`, `annotation-manifest.KEY`, `annotation-manifest-descriptor.KEY`, each also with `[PLATFORM]`.
 * @see moby/buildkit exporter/containerimage/exptypes/annotations.go
 */
function annotationsOf(
  text: string,
  fields: Fields,
): Pick<ExportSettings, 'annotations' | 'descriptorAnnotations'> {
  const manifest: Record<string, string> = {}
  const descriptor: Record<string, string> = {}
  for (const [field, value] of fields) {
    const [, kind, platform, key] = ANNOTATION.exec(field) ?? []
    // As in BuildKit: what is said of one platform counts only in a build of several.
    if (key === undefined || platform !== undefined) continue
    if (kind === undefined || kind === 'manifest') manifest[key] = value
    else if (kind === 'manifest-descriptor') descriptor[key] = value
    else if (kind === 'index' || kind === 'index-descriptor')
      throw invalid(text, 'index annotations not supported for single platform export')
    else throw invalid(text, `${field}: annotations are of manifest or manifest-descriptor`)
  }
  return {
    ...(Object.keys(manifest).length === 0 ? {} : { annotations: manifest }),
    ...(Object.keys(descriptor).length === 0 ? {} : { descriptorAnnotations: descriptor }),
  }
}

/** As Go's strconv.ParseBool reads it; the empty text is true, as in BuildKit. */
function flag<Unset extends boolean | undefined>(
  text: string,
  fields: Fields,
  name: string,
  unset: Unset,
): boolean | Unset {
  const value = fields.get(name)
  if (value === undefined) return unset
  if (['', '1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false
  throw invalid(text, `non-bool value specified for ${name}: ${JSON.stringify(value)}`)
}

function invalid(text: string, why: string): BuildError {
  return new BuildError('OPTION_INVALID', `invalid output ${JSON.stringify(text)}: ${why}`, {
    data: { option: 'output', value: text },
  })
}
