// Where else a built image goes, besides the store, and the text form in which people ask for it. Pure.
// @see docker/buildx util/buildflags/export.go, docs of `docker buildx build --output`
import { BuildError } from '../errors.js'

/** Takes chunks in order; the next comes when the promise is fulfilled. */
export type ByteSink = (chunk: Uint8Array) => Promise<void> | void

export type BuildOutput =
  /** An OCI layout or `docker load`able image: one tar, or a folder with `tar: false`. */
  | {
      readonly type: 'oci' | 'docker'
      readonly dest: string | ByteSink
      readonly tar?: boolean
      readonly compression?: 'none' | 'gzip' | 'zstd'
      /** Names in the archive, besides the build's tags. */
      readonly names?: readonly string[]
    }
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

/** What one `--output` says. */
export interface ParsedOutput {
  readonly output: BuildOutput
  /** `rewrite-timestamp=true`, or `false`; `undefined` where it is not said. */
  readonly rewriteTimestamp: boolean | undefined
}

/**
 * Reads `type=oci,dest=app.tar`, or a path alone, which is a folder, or `-`, which is a tar on standard output.
 *
 * @param stdout  what `dest=-` writes to
 * @throws BuildError OPTION_INVALID
 */
export function parseOutput(text: string, stdout: ByteSink): ParsedOutput {
  if (text === '-') return { output: { type: 'tar', dest: stdout }, rewriteTimestamp: undefined }
  if (!text.includes('=')) return { output: { type: 'local', dest: text }, rewriteTimestamp: undefined }
  const fields = new Map<string, string>()
  for (const field of text.split(',')) {
    const at = field.indexOf('=')
    if (at <= 0) throw invalid(text, `${JSON.stringify(field)} is not KEY=VALUE`)
    fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1))
  }
  return {
    output: outputOf(text, fields, stdout),
    rewriteTimestamp: flag(text, fields, 'rewrite-timestamp', undefined),
  }
}

function outputOf(text: string, fields: ReadonlyMap<string, string>, stdout: ByteSink): BuildOutput {
  const type = fields.get('type')
  const dest = fields.get('dest')
  const name = fields.get('name')
  const names = name === undefined ? {} : { names: name.split(',').filter((it) => it !== '') }
  switch (type) {
    case 'image':
      return { type, ...names }
    case 'local':
      if (dest === undefined || dest === '-') throw invalid(text, 'it needs dest=FOLDER')
      return { type, dest }
    case 'tar':
      return { type, dest: dest === undefined || dest === '-' ? stdout : dest }
    case 'oci':
    case 'docker': {
      const tar = flag(text, fields, 'tar', true)
      if (!tar && (dest === undefined || dest === '-')) throw invalid(text, 'tar=false needs dest=FOLDER')
      const compression = compressionOf(text, fields.get('compression'))
      return {
        type,
        tar,
        dest: dest === undefined || dest === '-' ? stdout : dest,
        ...(compression === undefined ? {} : { compression }),
        ...names,
      }
    }
    default:
      throw invalid(
        text,
        `type is ${JSON.stringify(type ?? '')}, one of oci, docker, tar, local, image is known`,
      )
  }
}

function compressionOf(text: string, value: string | undefined): 'none' | 'gzip' | 'zstd' | undefined {
  if (value === undefined || value === '') return undefined
  const found = COMPRESSIONS[value]
  if (found !== undefined) return found
  throw invalid(
    text,
    `compression is ${JSON.stringify(value)}, one of ${Object.keys(COMPRESSIONS).join(', ')} is known`,
  )
}

function flag<Unset extends boolean | undefined>(
  text: string,
  fields: ReadonlyMap<string, string>,
  name: string,
  unset: Unset,
): boolean | Unset {
  const value = fields.get(name)
  if (value === undefined) return unset
  if (value === 'true' || value === '1') return true
  if (value === 'false' || value === '0') return false
  throw invalid(text, `${name} is ${JSON.stringify(value)}, neither true nor false`)
}

function invalid(text: string, why: string): BuildError {
  return new BuildError('OPTION_INVALID', `invalid output ${JSON.stringify(text)}: ${why}`, {
    data: { option: 'output', value: text },
  })
}
