// A file system in memory that knows what fsync is for: a crash takes away what was not synced, all of it or by chance.
// Stricter than any real one: fsync of a file says nothing about its name, a rename may be kept in one folder and lost in
// the other, unsynced content may come back short, empty or as zeros. @see Pillai et al., OSDI 2014
import type { DiskFs, FileStat, OpenMode } from '../../src/store/disk-fs.js'

interface FileNode {
  readonly kind: 'file'
  readonly ino: number
  data: Uint8Array
  synced: Uint8Array
  mode: number
  mtimeMs: number
}

interface DirNode {
  readonly kind: 'dir'
  readonly ino: number
  entries: Map<string, Node>
  synced: Map<string, Node>
  mtimeMs: number
}

type Node = FileNode | DirNode

export type Fault =
  | { readonly kind: 'none' }
  /** The n-th change fails once. */
  | { readonly kind: 'fail'; readonly at: number; readonly code: string }
  /** The n-th change and all that follows do not happen: the process was killed, or the power went. */
  | { readonly kind: 'stop'; readonly at: number }

/** `kept`: the process died, the machine lives. `lost`: only what was synced. A number: by chance, with this seed. */
export type CrashKind = 'kept' | 'lost' | number

export class Stopped extends Error {
  readonly code = 'ESTOPPED'
}

const EMPTY = new Uint8Array(0)

export class SimFs implements DiskFs {
  #ino = 1
  #root: DirNode = this.#newDir()
  #nextFd = 3
  readonly #fds = new Map<number, { node: FileNode; at: number }>()
  #fault: Fault = { kind: 'none' }
  #stopped = false
  changes = 0
  /** What each change was, to name the place of a failure. */
  readonly log: string[] = []

  get openFiles(): number {
    return this.#fds.size
  }

  inject(fault: Fault): void {
    this.#fault = fault
    this.changes = 0
    this.#stopped = false
    this.log.length = 0
  }

  /** A disk of its own that holds the same. */
  fork(): SimFs {
    const other = new SimFs()
    const copies = new Map<Node, Node>()
    other.#root = copyOf(this.#root, copies) as DirNode
    other.#ino = this.#ino
    return other
  }

  /** The disk as the next boot finds it. */
  crash(kind: CrashKind): void {
    const random = typeof kind === 'number' ? createRandom(kind) : undefined
    if (kind !== 'kept') this.#settle(this.#root, random, new Set())
    this.#fds.clear()
    this.inject({ kind: 'none' })
  }

  #settle(node: Node, random: (() => number) | undefined, seen: Set<Node>): void {
    if (seen.has(node)) return
    seen.add(node)
    if (node.kind === 'file') {
      node.data = survivingData(node, random)
      node.synced = node.data
      return
    }
    const names = new Set([...node.entries.keys(), ...node.synced.keys()])
    const entries = new Map<string, Node>()
    for (const name of names) {
      const isKept = random !== undefined && random() < 0.5
      const entry = (isKept ? node.entries : node.synced).get(name)
      if (entry !== undefined) entries.set(name, entry)
    }
    node.entries = entries
    node.synced = new Map(entries)
    for (const entry of entries.values()) this.#settle(entry, random, seen)
  }

  /** Counts a change and lets the fault happen. For what lies on the same disk, too. */
  change(what: string): void {
    if (this.#stopped) throw new Stopped(what)
    this.changes++
    this.log.push(what)
    const fault = this.#fault
    if (fault.kind === 'none' || fault.at !== this.changes) return
    if (fault.kind === 'stop') {
      this.#stopped = true
      throw new Stopped(what)
    }
    throw Object.assign(new Error(`${fault.code}: injected, ${what}`), { code: fault.code })
  }

  #newDir(): DirNode {
    return { kind: 'dir', ino: this.#ino++, entries: new Map(), synced: new Map(), mtimeMs: Date.now() }
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of path.split('/').filter(Boolean)) {
      if (node?.kind !== 'dir') return undefined
      node = node.entries.get(name)
    }
    return node
  }

  #parent(path: string): [DirNode, string] {
    const at = path.lastIndexOf('/')
    const parent = this.#find(path.slice(0, at))
    if (parent?.kind !== 'dir') throw errno('ENOENT', path)
    return [parent, path.slice(at + 1)]
  }

  #file(path: string): FileNode {
    const node = this.#find(path)
    if (node === undefined) throw errno('ENOENT', path)
    if (node.kind !== 'file') throw errno('EISDIR', path)
    return node
  }

  #fd(fd: number): { node: FileNode; at: number } {
    const held = this.#fds.get(fd)
    if (held === undefined) throw errno('EBADF', String(fd))
    return held
  }

  open(path: string, mode: OpenMode, permissions = 0o644): number {
    let node: FileNode
    if (mode === 'create') {
      const [parent, name] = this.#parent(path)
      if (parent.entries.has(name)) throw errno('EEXIST', path)
      this.change(`create ${path}`)
      const ino = ++this.#ino
      node = { kind: 'file', ino, data: EMPTY, synced: EMPTY, mode: permissions, mtimeMs: Date.now() }
      parent.entries.set(name, node)
    } else node = this.#file(path)
    this.#fds.set(++this.#nextFd, { node, at: mode === 'append' ? node.data.length : 0 })
    return this.#nextFd
  }

  close(fd: number): void {
    this.#fd(fd)
    this.#fds.delete(fd)
  }

  stat(path: string): FileStat | undefined {
    const node = this.#find(path)
    return node && statOf(node)
  }

  statFd(fd: number): FileStat {
    return statOf(this.#fd(fd).node)
  }

  readOnce(fd: number, into: Uint8Array): number {
    return this.read(fd, into, 0)
  }

  read(fd: number, into: Uint8Array, position: number): number {
    const part = this.#fd(fd).node.data.subarray(position, position + into.length)
    into.set(part)
    return part.length
  }

  async readLater(fd: number, into: Uint8Array, position: number): Promise<number> {
    return this.read(fd, into, position)
  }

  write(fd: number, bytes: Uint8Array): void {
    const held = this.#fd(fd)
    try {
      this.change(`write ${bytes.length}`)
    } catch (error) {
      // Half of it gets through.
      append(held, bytes.subarray(0, bytes.length >> 1))
      throw error
    }
    append(held, bytes)
  }

  async writeLater(fd: number, bytes: Uint8Array): Promise<void> {
    await Promise.resolve()
    this.write(fd, bytes)
  }

  truncate(path: string, size: number): void {
    this.change(`truncate ${path}`)
    const node = this.#file(path)
    node.data = node.data.slice(0, size)
  }

  chmod(path: string, permissions: number): void {
    this.change(`chmod ${path}`)
    this.#file(path).mode = permissions
  }

  async sync(fd: number): Promise<void> {
    this.change('fsync')
    const { node } = this.#fd(fd)
    node.synced = node.data
  }

  async syncDir(path: string): Promise<void> {
    this.change(`fsync ${path}`)
    const node = this.#find(path)
    if (node?.kind !== 'dir') throw errno('ENOENT', path)
    node.synced = new Map(node.entries)
  }

  readFile(path: string): Uint8Array | undefined {
    const node = this.#find(path)
    if (node?.kind === 'dir') throw errno('EISDIR', path)
    return node?.data.slice()
  }

  readDir(path: string): string[] | undefined {
    const node = this.#find(path)
    return node?.kind === 'dir' ? [...node.entries.keys()] : undefined
  }

  makeDir(path: string): void {
    let node: DirNode = this.#root
    for (const name of path.split('/').filter(Boolean)) {
      let next = node.entries.get(name)
      if (next === undefined) {
        this.change(`mkdir ${name}`)
        next = this.#newDir()
        node.entries.set(name, next)
      }
      if (next.kind !== 'dir') throw errno('ENOTDIR', path)
      node = next
    }
  }

  removeDir(path: string): boolean {
    const node = this.#find(path)
    if (node?.kind !== 'dir' || node.entries.size > 0) return false
    this.change(`rmdir ${path}`)
    const [parent, name] = this.#parent(path)
    return parent.entries.delete(name)
  }

  rename(from: string, to: string): void {
    const [source, oldName] = this.#parent(from)
    const [target, newName] = this.#parent(to)
    const node = source.entries.get(oldName)
    if (node === undefined) throw errno('ENOENT', from)
    this.change(`rename ${to}`)
    source.entries.delete(oldName)
    target.entries.set(newName, node)
  }

  link(from: string, to: string): boolean {
    const [target, name] = this.#parent(to)
    if (target.entries.has(name)) return false
    this.change(`link ${to}`)
    target.entries.set(name, this.#file(from))
    return true
  }

  remove(path: string): boolean {
    const node = this.#find(path)
    if (node === undefined) return false
    this.change(`unlink ${path}`)
    const [parent, name] = this.#parent(path)
    return parent.entries.delete(name)
  }

  touch(path: string, timeMs: number): boolean {
    const node = this.#find(path)
    if (node === undefined) return false
    this.change(`touch ${path}`)
    node.mtimeMs = timeMs
    return true
  }

  space(): { total: number; free: number } {
    return { total: 1e12, free: 1e12 }
  }
}

/** Contents are replaced when they change, never written into: copies share them. */
function copyOf(node: Node, copies: Map<Node, Node>): Node {
  const known = copies.get(node)
  if (known !== undefined) return known
  const copy: Node = node.kind === 'file' ? { ...node } : { ...node, entries: new Map(), synced: new Map() }
  copies.set(node, copy)
  if (node.kind === 'dir' && copy.kind === 'dir') {
    for (const [name, entry] of node.entries) copy.entries.set(name, copyOf(entry, copies))
    for (const [name, entry] of node.synced) copy.synced.set(name, copyOf(entry, copies))
  }
  return copy
}

function append(held: { node: FileNode; at: number }, bytes: Uint8Array): void {
  const { node } = held
  const data = new Uint8Array(Math.max(node.data.length, held.at + bytes.length))
  data.set(node.data)
  data.set(bytes, held.at)
  held.at += bytes.length
  node.data = data
}

/** Unsynced content by chance: all, none, a part, or the right length of zeros. */
function survivingData(node: FileNode, random: (() => number) | undefined): Uint8Array {
  if (random === undefined || node.data === node.synced) return node.synced
  const dice = random()
  if (dice < 0.25) return node.data
  if (dice < 0.5) return node.synced
  if (dice < 0.75) {
    // What was appended may be lost in part; what was synced before it stays.
    const kept =
      Buffer.compare(node.data.subarray(0, node.synced.length), node.synced) === 0 ? node.synced.length : 0
    return node.data.slice(0, kept + Math.floor(random() * (node.data.length - kept)))
  }
  const zeros = new Uint8Array(node.data.length)
  zeros.set(node.synced.subarray(0, node.data.length))
  return zeros
}

function statOf(node: Node): FileStat {
  const size = node.kind === 'file' ? node.data.length : 0
  return { kind: node.kind, size, mtimeMs: node.mtimeMs, ino: node.ino }
}

function errno(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code, path })
}

function createRandom(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
