import { UnionView, type Tree, type TreeNode } from 'lamella/unionfs'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatBytes, formatMode, printable, table } from '../format.js'
import { openImageTree } from '../store.js'

interface Row {
  /** Absolute. */
  readonly path: string
  readonly node: TreeNode
}

const MAGIC = /[*?[\]{}!()@+]/

/** A glob's matches; a directory's entries; a file itself. */
async function select(tree: Tree, pattern: string): Promise<Row[]> {
  const path = pattern.replace(/^\/+/, '')
  const exact = tree.resolve(path, {})
  if (exact?.node.kind === 'dir') {
    const names = exact.node.children?.names() ?? []
    return names.map((name) => at(tree, exact.path === '' ? name : `${exact.path}/${name}`))
  }
  if (exact !== undefined) return [at(tree, path)]
  if (!MAGIC.test(path)) return []
  const { default: glob } = await import('fast-glob')
  const { fs } = new UnionView(tree)
  const found = await glob(path, {
    cwd: '/',
    fs: fs as never,
    dot: true,
    onlyFiles: false,
    followSymbolicLinks: false,
  })
  return found.toSorted().map((name) => at(tree, name))
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
    if (tree.resolve(pattern, {}) !== undefined) return 0
    io.note(`ERROR: nothing in ${name} matches ${pattern}\n`)
    return 1
  },
}
