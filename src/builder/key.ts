// The digests by which BuildKit knows an operation, bit for bit: what goes into each, in which order, and what is left out.
// Pure, and independent of the planner. Content digests of trees: contenthash.ts. How keys are combined: cache.ts.
// Form of BuildKit 0.25 (moby 28.5.2).
// @see moby/buildkit solver/llbsolver/ops/{file,exec,merge,source}.go, solver/pb/{ops.proto,json.go}
import { digestOf, type Digest } from '../digest.js'
import type { Env } from '../env.js'
import { encodePath } from '../path.js'
import { base64, flag, goJson, integer, list, number, text } from './go-json.js'

/** A user or group of `--chown`: a number, or a name with the input in whose /etc/passwd or /etc/group it is looked up. */
export type OwnerRef = { readonly id: number } | { readonly name: string; readonly input: number }

export interface OwnerSpec {
  readonly user?: OwnerRef | undefined
  readonly group?: OwnerRef | undefined
}

/** `FileActionCopy`. @see solver/pb/ops.proto */
export interface CopyAction {
  readonly kind: 'copy'
  /** Absolute, cleaned, as the selector has it; only its base name enters the digest. */
  readonly src: string
  /** Absolute; a trailing `/` or `/.` is kept, it means "into". */
  readonly dest: string
  readonly owner?: OwnerSpec | undefined
  /** Permission bits of an octal --chmod; -1 when there is none. Not looked at beside `modeStr`. */
  readonly mode: number
  /** A symbolic --chmod. */
  readonly modeStr?: string | undefined
  readonly followSymlink: boolean
  readonly dirCopyContents: boolean
  readonly attemptUnpack: boolean
  readonly createDestPath: boolean
  readonly allowWildcard: boolean
  readonly allowEmptyWildcard: boolean
  readonly alwaysReplaceExistingDestPaths: boolean
  readonly includePatterns?: readonly string[] | undefined
  readonly excludePatterns?: readonly string[] | undefined
  /** Nanoseconds since the epoch (SOURCE_DATE_EPOCH, whole seconds), or -1. */
  readonly timestampNs: bigint
}

/** `FileActionMkDir`: WORKDIR. */
export interface MkdirAction {
  readonly kind: 'mkdir'
  readonly path: string
  readonly mode: number
  readonly makeParents: boolean
  readonly owner?: OwnerSpec | undefined
  readonly timestampNs: bigint
}

/** `FileActionMkFile`: a here-document of COPY or ADD. */
export interface MkfileAction {
  readonly kind: 'mkfile'
  readonly path: string
  readonly mode: number
  readonly data: Uint8Array
  readonly owner?: OwnerSpec | undefined
  readonly timestampNs: bigint
}

export type FileAction = CopyAction | MkdirAction | MkfileAction

/**
 * One action of a file operation and where it takes from and gives to, as in `FileAction`: an index below the number of
 * inputs is an input, one above it is the result of an earlier action, -1 is nothing (scratch, or no output).
 */
export interface PlacedAction {
  readonly action: FileAction
  readonly input: number
  readonly secondaryInput: number
  readonly output: number
}

/** `FileOp`. Actions that copy from another action of the same operation keep their whole `src`. */
export function fileOpDigest(actions: readonly PlacedAction[], inputCount: number): Digest {
  const parts = actions.map(({ action, secondaryInput }) =>
    base64(goJson(fileActionJson(action, secondaryInput !== -1 && secondaryInput < inputCount))),
  )
  const indexes = actions.map(({ input, secondaryInput, output }) => [input, secondaryInput, output])
  return digestOf(
    goJson({
      Type: 'buildkit.file.v0',
      Actions: parts,
      indexes: isDefaultIndexes(indexes) ? undefined : indexes,
    }),
  )
}

/** The chain that older versions did not write down: each action on the one before, copies from the second input. */
function isDefaultIndexes(indexes: readonly (readonly number[])[]): boolean {
  if (indexes.length === 0) return false
  return indexes.every(([input, secondary, output], i) => {
    if (input !== (i === 0 ? 0 : indexes.length + i - 1)) return false
    if (secondary !== -1 && secondary !== 1) return false
    return output === (i === indexes.length - 1 ? 0 : -1)
  })
}

function fileActionJson(action: FileAction, fromInput: boolean): object {
  switch (action.kind) {
    case 'mkdir':
      return {
        path: text(action.path),
        mode: number(action.mode),
        makeParents: flag(action.makeParents),
        owner: ownerJson(action.owner),
        timestamp: integer(action.timestampNs),
      }
    case 'mkfile':
      return {
        path: text(action.path),
        mode: number(action.mode),
        data: action.data.byteLength === 0 ? undefined : base64(action.data),
        owner: ownerJson(action.owner),
        timestamp: integer(action.timestampNs),
      }
    case 'copy':
      return {
        src: text(fromInput ? goBase(action.src) : action.src),
        dest: text(action.dest),
        owner: ownerJson(action.owner),
        // A symbolic --chmod leaves the octal one at zero, which is left out. @see client/llb/fileop.go
        mode: number(action.modeStr === undefined ? action.mode : 0),
        followSymlink: flag(action.followSymlink),
        dirCopyContents: flag(action.dirCopyContents),
        attemptUnpackDockerCompatibility: flag(action.attemptUnpack),
        createDestPath: flag(action.createDestPath),
        allowWildcard: flag(action.allowWildcard),
        allowEmptyWildcard: flag(action.allowEmptyWildcard),
        timestamp: integer(action.timestampNs),
        include_patterns: list(action.includePatterns),
        exclude_patterns: list(action.excludePatterns),
        alwaysReplaceExistingDestPaths: flag(action.alwaysReplaceExistingDestPaths),
        modeStr: text(action.modeStr ?? ''),
      }
  }
}

function ownerJson(owner: OwnerSpec | undefined): object | undefined {
  if (owner === undefined) return undefined
  return { user: ownerRefJson(owner.user), group: ownerRefJson(owner.group) }
}

/** Id 0 is left out like every zero, so `--chown=0` differs from no --chown only by the empty objects. */
function ownerRefJson(ref: OwnerRef | undefined): object | undefined {
  if (ref === undefined) return undefined
  if ('id' in ref) return { User: { byId: number(ref.id) } }
  return { User: { byName: { name: text(ref.name), input: number(ref.input) } } }
}

export interface ExecMountSpec {
  readonly type: 'bind' | 'secret' | 'ssh' | 'cache' | 'tmpfs'
  /** Index of the input; -1 for none. Secret, ssh and tmpfs mounts have -1. */
  readonly input: number
  /** Absolute target. */
  readonly dest: string
  /** Index of the output, -1 for none; the root has 0. */
  readonly output: number
  readonly readonly: boolean
  /** Absolute source path in the input; takes no part in the digest. */
  readonly selector?: string | undefined
  readonly tmpfsSize?: number | undefined
  /** For a cache: `<namespace>/<id>`; from a Dockerfile without a namespace that is `/` and the cleaned id. */
  readonly cache?: { readonly id: string; readonly sharing: 'shared' | 'private' | 'locked' } | undefined
  readonly secret?: SecretSpec | undefined
  readonly ssh?: SecretSpec | undefined
}

export interface SecretSpec {
  readonly id: string
  readonly uid: number
  readonly gid: number
  readonly mode: number
  readonly optional: boolean
}

/** `ExecOp`. Proxy variables, addresses of extra hosts, mount sources and secret values are not part of it. */
export interface ExecSpec {
  readonly args: readonly string[]
  /** `NAME=value`, in order. */
  readonly env: readonly string[]
  readonly cwd: string
  readonly user?: string | undefined
  readonly extraHosts?: readonly string[] | undefined
  readonly hostname?: string | undefined
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[]
  readonly cgroupParent?: string | undefined
  /** The root first. */
  readonly mounts: readonly ExecMountSpec[]
  readonly network: 'default' | 'host' | 'none'
  readonly security: 'sandbox' | 'insecure'
  readonly secretEnv?: readonly { readonly id: string; readonly name: string; readonly optional: boolean }[]
  readonly platform: KeyPlatform
}

export interface KeyPlatform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string | undefined
  readonly osVersion?: string | undefined
  readonly osFeatures?: readonly string[] | undefined
}

const NETWORKS = { default: 0, host: 1, none: 2 } as const
const MOUNT_TYPES = { bind: 0, secret: 1, ssh: 2, cache: 3, tmpfs: 4 } as const
const SHARINGS = { shared: 0, private: 1, locked: 2 } as const

export function execOpDigest(spec: ExecSpec): Digest {
  return digestOf(
    goJson({
      Type: 'buildkit.exec.v0',
      Exec: {
        meta: {
          args: list(spec.args),
          env: list(spec.env),
          cwd: text(spec.cwd),
          user: text(spec.user ?? ''),
          extraHosts: list(spec.extraHosts?.map((Host) => ({ Host: text(Host) }))),
          hostname: text(spec.hostname ?? ''),
          ulimit: list(
            spec.ulimits?.map(({ name, soft, hard }) => ({
              Name: text(name),
              Soft: number(soft),
              Hard: number(hard),
            })),
          ),
          cgroupParent: text(spec.cgroupParent ?? ''),
          removeMountStubsRecursive: true,
        },
        mounts: isPlainRoot(spec.mounts) ? undefined : list(spec.mounts.map(mountJson)),
        network: number(NETWORKS[spec.network]),
        security: number(spec.security === 'insecure' ? 1 : 0),
        secretenv: list(
          spec.secretEnv?.map(({ id, name, optional }) => ({
            ID: text(id),
            name: text(name),
            optional: flag(optional),
          })),
        ),
      },
      OS: spec.platform.os,
      Arch: spec.platform.architecture,
      Variant: text(spec.platform.variant ?? ''),
      OSVersion: text(spec.platform.osVersion ?? ''),
      OSFeatures: list(spec.platform.osFeatures),
    }),
  )
}

/** A single writable root is not written down: earlier versions forgot the mounts, and their keys stay valid. */
function isPlainRoot(mounts: readonly ExecMountSpec[]): boolean {
  const [root] = mounts
  return mounts.length === 1 && root?.dest === '/' && !root.readonly && root.type === 'bind'
}

function mountJson(mount: ExecMountSpec): object {
  return {
    input: number(mount.input),
    dest: text(mount.dest),
    output: number(mount.output),
    readonly: flag(mount.readonly),
    mountType: number(MOUNT_TYPES[mount.type]),
    TmpfsOpt: mount.tmpfsSize === undefined ? undefined : { size: number(mount.tmpfsSize) },
    cacheOpt: mount.cache === undefined ? undefined : cacheJson(mount.cache, mount.dest),
    secretOpt: secretJson(mount.secret),
    SSHOpt: secretJson(mount.ssh),
  }
}

/** The id counts only where it is the default one, so that caches can be renamed without a miss. */
function cacheJson(cache: NonNullable<ExecMountSpec['cache']>, dest: string): object {
  const slash = cache.id.indexOf('/')
  const isDefault = cache.id === dest || (slash !== -1 && cache.id.slice(slash + 1) === dest)
  if (!isDefault || cache.sharing !== 'shared') return {}
  return { ID: text(cache.id), sharing: number(SHARINGS[cache.sharing]) }
}

function secretJson(secret: SecretSpec | undefined): object | undefined {
  if (secret === undefined) return undefined
  return {
    ID: text(secret.id),
    uid: number(secret.uid),
    gid: number(secret.gid),
    mode: number(secret.mode),
    optional: flag(secret.optional),
  }
}

/** `MergeOp` over the inputs 0 to `count - 1`: COPY --link. */
export function mergeOpDigest(count: number): Digest {
  const inputs = Array.from({ length: count }, (_, i) => ({ input: number(i) }))
  return digestOf(goJson({ Type: 'buildkit.merge.v0', Merge: { inputs: list(inputs) } }))
}

/** A source by its key: `sourceDigest(imageManifestKey(…))`. */
export function sourceDigest(key: string): Digest {
  return digestOf(`buildkit.source.v0:${key}`)
}

/** First key of an image source: its manifest and the platform it was chosen for. */
export function imageManifestKey(manifest: Digest, platform: KeyPlatform): Digest {
  return digestOf(
    goJson({
      Digest: manifest,
      OS: platform.os,
      Arch: platform.architecture,
      Variant: text(platform.variant ?? ''),
      OSVersion: text(platform.osVersion ?? ''),
      OSFeatures: list(platform.osFeatures),
    }),
  )
}

/** Second key of an image source: the chainID of its layers; `undefined` for an image without layers. */
export function imageChainKey(chain: readonly string[]): string | undefined {
  return chain.at(-1)
}

export interface HttpSourceSpec {
  readonly filename: string
  /** Permission bits of --chmod; 0 for the default. */
  readonly perm: number
  readonly uid: number
  readonly gid: number
  /** Digest of the body. */
  readonly checksum: Digest
  /** `Last-Modified` in HTTP's form, as the server sent it. */
  readonly lastModified?: string | undefined
}

/** Key of an http(s) source. @see moby/buildkit source/http/source.go formatCacheKey */
export function httpSourceKey(spec: HttpSourceSpec): Digest {
  return digestOf(
    goJson({
      Filename: spec.filename,
      Perm: spec.perm,
      UID: spec.uid,
      GID: spec.gid,
      Checksum: spec.checksum,
      LastModTime: text(spec.lastModified ?? ''),
    }),
  )
}

export interface GitSourceSpec {
  readonly commit: string
  /** In full; '' where a commit was asked for. Counts only where `.git` is kept, which then has a ref of that name. */
  readonly ref: string
  readonly keepGitDir: boolean
  readonly subdir: string
  readonly submodules: boolean
}

/** Key of a git source, which no URL is part of. @see moby/buildkit source/git/source.go shaToCacheKey */
export function gitSourceKey(spec: GitSourceSpec): string {
  const kept = spec.keepGitDir ? `.git${spec.ref === '' ? '' : `#${spec.ref}`}` : ''
  const subdir = spec.subdir === '' ? '' : `:${spec.subdir}`
  return `${spec.commit}${kept}${subdir}${spec.submodules ? '' : '(skip-submodules)'}`
}

/** Id of a key that has no inputs, in the cache and in exports: of an operation's output, or of content (output -1). */
export function recordId(digest: Digest, output: number): Digest {
  return digestOf(`${digest}@${output}`)
}

/** A digest that nothing else has: of a source that is known by its content alone. Never saved. */
export function randomDigest(env: Env): Digest {
  return digestOf(`random:${env.randomId()}${env.randomId()}`)
}

/** The output number of content keys. */
export const CONTENT_OUTPUT = -1

/** Selector of an input of a file operation: the paths it reads. @see ops/file.go CacheMap */
export function fileSelector(paths: readonly string[]): Digest {
  return digestOf(joinBytes([...paths].map(encodePath).sort(compareBytesDescending)))
}

/** Selector of an input of a RUN: the sources of its mounts in the order of the mounts; `['/']` for the root. */
export function mountSelector(paths: readonly string[]): Digest {
  return digestOf(joinBytes(paths.map(encodePath)))
}

/** Content key of an input from the content digests of its selectors, sorted by path. @see opsutils/contenthash.go */
export function contentKey(digests: readonly Digest[]): Digest {
  return digestOf(digests.join('\0'))
}

function compareBytesDescending(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return b[i]! - a[i]!
  return b.length - a.length
}

function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length + 1, -1))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length + 1
  }
  return out
}

/** Go's path.Base. */
function goBase(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  if (trimmed === '') return path === '' ? '.' : '/'
  return trimmed.slice(trimmed.lastIndexOf('/') + 1)
}
