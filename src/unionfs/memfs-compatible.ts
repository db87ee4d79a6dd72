// A view in memfs's clothes: what `createFsFromVolume` gives beyond node:fs, so that users of memfs can switch.
import type { NodeFs } from './host-contract.js'
import { Tree } from './tree.js'
import { UnionView } from './view.js'

/** Paths to contents; `null` is an empty directory. Symlinks and devices have no place in it, as in memfs. */
export type DirectoryJson = Record<string, string | Buffer | null>

/** Directories as objects, files as their contents. */
export interface NestedJson {
  readonly [name: string]: NestedJson | string | Uint8Array | null
}

export interface MemfsCompatible {
  /** The view behind it. */
  readonly view: UnionView
  /**
   * Contents by path.
   * @param paths  only what is at or below these
   * @param json  written into, and returned
   * @param isRelative  paths are relative to those given
   * @param asBuffer  contents as Buffers instead of text
   */
  toJSON(
    paths?: string | readonly string[],
    json?: DirectoryJson,
    isRelative?: boolean,
    asBuffer?: boolean,
  ): DirectoryJson
  /** Writes files, and the directories above them. @param cwd  where relative paths start; default `/` */
  fromJSON(json: Record<string, string | Uint8Array | null>, cwd?: string): void
  fromNestedJSON(json: NestedJson, cwd?: string): void
  /** As `fromJSON`, with memfs's order of arguments. */
  mountSync(mountPoint: string, json: Record<string, string | Uint8Array | null>): void
  /** Removes everything. */
  reset(): void
}

/**
 * node:fs over a tree or view, with memfs's own methods. The semantics are the view's (Linux), where memfs's differ.
 *
 * @param source  a view is used as it is; over a tree a view of its own is opened
 */
export function toMemfs(source: Tree | UnionView): NodeFs & MemfsCompatible {
  const view = source instanceof Tree ? new UnionView(source) : source
  const { fs } = view
  const fromJSON: MemfsCompatible['fromJSON'] = (json, cwd = '/') => {
    for (const [name, content] of Object.entries(json)) write(fs, resolve(cwd, name), content)
  }
  const extras: MemfsCompatible = {
    view,
    toJSON: (paths, json = {}, isRelative = false, asBuffer = false) => {
      const roots = paths === undefined ? ['/'] : typeof paths === 'string' ? [paths] : paths
      for (const root of roots) {
        if (fs.existsSync(root))
          collect(fs, resolve('/', root), isRelative ? resolve('/', root) : undefined, json, asBuffer)
      }
      return json
    },
    fromJSON,
    fromNestedJSON: (json, cwd = '/') => fromJSON(flatten(json, ''), cwd),
    mountSync: (mountPoint, json) => fromJSON(json, mountPoint),
    reset: () => {
      for (const name of fs.readdirSync('/')) fs.rmSync(`/${name}`, { recursive: true })
    },
  }
  return { ...fs, ...extras }
}

function resolve(cwd: string, name: string): string {
  const out: string[] = []
  for (const part of (name.startsWith('/') ? name : `${cwd}/${name}`).split('/')) {
    if (part === '..') out.pop()
    else if (part !== '' && part !== '.') out.push(part)
  }
  return '/' + out.join('/')
}

function write(fs: NodeFs, path: string, content: string | Uint8Array | null): void {
  if (content === null) {
    fs.mkdirSync(path, { recursive: true })
    return
  }
  fs.mkdirSync(resolve(path, '..'), { recursive: true })
  fs.writeFileSync(path, content)
}

function flatten(json: NestedJson, prefix: string): Record<string, string | Uint8Array | null> {
  const out: Record<string, string | Uint8Array | null> = {}
  for (const [name, value] of Object.entries(json)) {
    const path = prefix === '' ? name : `${prefix}/${name}`
    if (value === null || typeof value === 'string' || value instanceof Uint8Array) out[path] = value
    else if (Object.keys(value).length === 0) out[path] = null
    else Object.assign(out, flatten(value, path))
  }
  return out
}

function collect(
  fs: NodeFs,
  path: string,
  base: string | undefined,
  json: DirectoryJson,
  asBuffer: boolean,
): void {
  const stats = fs.statSync(path)
  if (stats.isFile()) {
    json[relative(path, base === path ? resolve(path, '..') : base)] = content(fs, path, asBuffer)
    return
  }
  const entries = fs.readdirSync(path, { withFileTypes: true })
  for (const entry of entries) {
    const below = path === '/' ? `/${entry.name}` : `${path}/${entry.name}`
    if (entry.isFile()) json[relative(below, base)] = content(fs, below, asBuffer)
    else if (entry.isDirectory()) collect(fs, below, base, json, asBuffer)
  }
  const name = relative(path, base)
  if (entries.length === 0 && name !== '' && name !== '/') json[name] = null
}

function content(fs: NodeFs, path: string, asBuffer: boolean): string | Buffer {
  return asBuffer ? fs.readFileSync(path) : fs.readFileSync(path, 'utf8')
}

/** A path as memfs names it: absolute, or relative to `base`. */
function relative(path: string, base: string | undefined): string {
  if (base === undefined) return path
  if (path === base) return ''
  return base === '/' ? path.slice(1) : path.slice(base.length + 1)
}
