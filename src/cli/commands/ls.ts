import type { Tree, TreeNode } from 'lamella/unionfs'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatBytes, formatMode, parsePrintable, printable, table } from '../format.js'
import { openImageTree, resolvePrinted } from '../store.js'

interface Row {
  /** Absolute. */
  readonly path: string
  readonly node: TreeNode
}

const MAGIC = /[*?[\]{}!()@+]/

/** A glob's matches; a directory's entries; a file itself. */
async function select(tree: Tree, pattern: string): Promise<Row[]> {
  const path = pattern.replace(/^\/+/, '')
  const exact = resolvePrinted(tree, path)
  if (exact?.node.kind === 'dir') {
    const names = exact.node.children?.names() ?? []
    return names.map((name) => at(tree, exact.path === '' ? name : `${exact.path}/${name}`))
  }
  if (exact !== undefined) return [{ path: `/${exact.path}`, node: exact.node }]
  return MAGIC.test(path) ? globTree(tree, path) : []
}

/** fast-glob over the tree under the names that are printed: a newline in one would end its patterns, bytes would be lost. */
async function globTree(tree: Tree, pattern: string): Promise<Row[]> {
  const { default: glob } = await import('fast-glob')
  const found = await glob(pattern, {
    cwd: '/',
    fs: printedFs(tree) as never,
    dot: true,
    onlyFiles: false,
    followSymbolicLinks: false,
  })
  return found.toSorted().map((name) => {
    const path = tree.lookup(name) === undefined ? parsePrintable(name) : name
    return at(tree, path)
  })
}

/** What fast-glob asks of a file system, answered from the tree, names as they are printed. */
function printedFs(tree: Tree) {
  const nodeAt = (path: string): TreeNode => {
    const found = resolvePrinted(tree, path.replace(/^\/+/, ''))
    if (found !== undefined) return found.node
    throw Object.assign(new Error(`ENOENT: no such file or directory, ${path}`), { code: 'ENOENT' })
  }
  const entry = (name: string, { kind }: TreeNode) => ({
    name: printable(name),
    isFile: () => kind === 'file',
    isDirectory: () => kind === 'dir',
    isSymbolicLink: () => kind === 'symlink',
    isFIFO: () => kind === 'fifo',
    isSocket: () => kind === 'socket',
    isBlockDevice: () => kind === 'blockdev',
    isCharacterDevice: () => kind === 'chardev',
  })
  type Callback<T> = (error: Error | null, value?: T) => void
  const answer = <T>(callback: Callback<T>, compute: () => T): void => {
    let value: T
    try {
      value = compute()
    } catch (error) {
      callback(error as Error)
      return
    }
    callback(null, value)
  }
  const stat = (path: string, callback: Callback<unknown>) =>
    answer(callback, () => entry(path, nodeAt(path)))
  return {
    stat,
    lstat: stat,
    readdir: (path: string, _: unknown, callback: Callback<unknown[]>) =>
      answer(callback, () => {
        const { children } = nodeAt(path)
        return (children?.names() ?? []).map((name) => entry(name, children!.get(name)!))
      }),
  }
}

function at(tree: Tree, path: string): Row {
  return { path: `/${path}`, node: tree.lookup(path) ?? tree.resolve(path, {})!.node }
}

function longRow({ path, node }: Row): string[] {
  const { kind, mode, uid, gid, size, target } = node
  const [major, minor] = node.rdev
  return [
    formatMode(kind, mode),
    String(uid),
    String(gid),
    kind === 'chardev' || kind === 'blockdev' ? `${major}, ${minor}` : formatBytes(size),
    new Date(node.mtimeSec * 1000).toISOString().slice(0, 19) + 'Z',
    printable(path) + (kind === 'symlink' ? ` -> ${printable(target)}` : ''),
  ]
}

function jsonRow({ path, node }: Row) {
  const { kind, mode, uid, gid, size, target } = node
  return {
    path,
    kind,
    mode: mode.toString(8).padStart(4, '0'),
    uid,
    gid,
    sizeBytes: size,
    mtimeNs: String(node.mtimeNs),
    ...(kind === 'symlink' ? { target } : {}),
    ...(node.origin === undefined ? {} : { layer: node.origin.diffID }),
  }
}

export const command: Command = {
  name: 'ls',
  summary: 'list files of an image',
  synopsis: '[options] IMAGE [GLOB]',
  description:
    'GLOB is a path (a directory lists its entries) or a pattern as fast-glob takes it; files whose names begin with\n' +
    'a dot match too. Without it, the root directory is listed.',
  options: [
    { name: 'long', short: 'l', help: 'mode, owner, size, time and link target' },
    JSON_OUTPUT,
    STORE,
  ],
  examples: ["lamella ls app '/usr/src/app/**/*.js'", 'lamella ls -l app /etc'],
  operands: [1, 2],
  async run(args, io) {
    const [name, pattern = '/'] = args.operands
    const { store, tree } = await openImageTree(args, io, name!)
    await using _ = store
    const rows = await select(tree, pattern)
    if (args.flag('json')) await io.write(JSON.stringify(rows.map(jsonRow), undefined, 2) + '\n')
    else if (args.flag('long')) {
      await io.write(table(['MODE', '>UID', '>GID', '>SIZE', 'MODIFIED', 'PATH'], rows.map(longRow)))
    } else await io.write(rows.map(({ path }) => printable(path) + '\n').join(''))
    if (rows.length > 0 || pattern === '/') return 0
    if (resolvePrinted(tree, pattern) !== undefined) return 0
    io.note(`ERROR: nothing in ${name} matches ${pattern}\n`)
    return 1
  },
}
