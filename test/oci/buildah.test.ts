// buildah as a peer: it reads the images that we write out of our store as it stands, and we read those that it writes;
// every entry is compared.
import { spawnSync } from 'node:child_process'
import {
  createReadStream,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
  linkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { build } from '../../src/builder/index.js'
import { loadArchive, readImage, resolveImage } from '../../src/oci/index.js'
import { createMemoryStore, openDiskStore } from '../../src/store/index.js'
import { openTree, type Tree } from '../../src/unionfs/index.js'
import { findProgram, peerTest } from '../peers.js'

const program = findProgram('buildah')
const canRun = program !== undefined && process.getuid?.() === 0

let scratch: string
// In lower case: buildah takes a layout's path for a reference.
beforeAll(() => {
  scratch = join(tmpdir(), `lamella-buildah-${process.pid}`)
  mkdirSync(scratch)
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** vfs and chroot: neither mounts nor a user namespace are needed, and nothing stays behind. */
function buildah(...args: string[]): string {
  const where = [
    '--root',
    join(scratch, 'root'),
    '--runroot',
    join(scratch, 'run'),
    '--storage-driver',
    'vfs',
  ]
  const { status, stdout, stderr } = spawnSync(program!, [...where, ...args], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`buildah ${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

function makeContext(folder: string): void {
  mkdirSync(join(folder, 'd/sub'), { recursive: true })
  writeFileSync(join(folder, 'd/f'), 'text')
  chmodSync(join(folder, 'd/f'), 0o4751)
  linkSync(join(folder, 'd/f'), join(folder, 'd/g'))
  symlinkSync('f', join(folder, 'd/l'))
  writeFileSync(join(folder, 'd/sub/ümlaut and blank'), 'x'.repeat(100_000))
  writeFileSync(join(folder, 'n'.repeat(150)), 'long name')
  writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY . /app/\nENV A=b\nCMD ["/app/d/f"]\n')
}

interface Entry {
  readonly kind: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSec: number
  readonly content: string
}

function entriesOfTree(tree: Tree): Record<string, Entry> {
  const out: Record<string, Entry> = {}
  for (const { path, node } of tree.walk()) {
    if (path === '') continue
    const { kind, mode, uid, gid, mtimeSec, target } = node
    out[path] = {
      kind,
      mode,
      uid,
      gid,
      mtimeSec,
      content: kind === 'symlink' ? target : Buffer.from(node.content()).toString(),
    }
  }
  return out
}

function entriesOfFolder(folder: string): Record<string, Entry> {
  const out: Record<string, Entry> = {}
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const full = join(folder, path)
    const stat = lstatSync(full)
    const kind = stat.isDirectory() ? 'dir' : stat.isSymbolicLink() ? 'symlink' : 'file'
    const content = kind === 'dir' ? '' : kind === 'symlink' ? readlinkSync(full) : readFileSync(full, 'utf8')
    const { uid, gid } = stat
    out[path] = {
      kind,
      mode: stat.mode & 0o7777,
      uid,
      gid,
      mtimeSec: Math.floor(stat.mtimeMs / 1000),
      content,
    }
  }
  return out
}

describe('buildah', () => {
  peerTest('reads what we build, entry by entry', canRun, async () => {
    const context = join(scratch, 'context')
    makeContext(context)
    await using store = await openDiskStore(join(scratch, 'store'))
    await build({ store, context, tags: ['app:1'] })
    const image = await readImage(store.blobs, await resolveImage(store, 'app:1'))
    const name = buildah('from', `oci:${join(scratch, 'store')}:app:1`)
    const mounted = buildah('mount', name)
    try {
      expect(entriesOfFolder(mounted)).toEqual(entriesOfTree(await openTree(store, image.layers)))
      expect(lstatSync(join(mounted, 'app/d/f')).nlink).toBe(2)
      const inspected = JSON.parse(buildah('inspect', name)) as { OCIv1: { config: object } }
      expect(inspected.OCIv1.config).toMatchObject({
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'A=b'],
        Cmd: ['/app/d/f'],
      })
    } finally {
      buildah('umount', name)
    }
  })

  peerTest('writes what we read, entry by entry', canRun, async () => {
    const context = join(scratch, 'theirs')
    makeContext(context)
    const name = buildah('from', 'scratch')
    buildah('copy', name, context, '/app')
    buildah('config', '--env', 'A=b', '--cmd', '/app/d/f', name)
    const archive = join(scratch, 'theirs.tar')
    buildah('commit', name, `oci-archive:${archive}:theirs:1`)
    await using store = createMemoryStore()
    const [loaded] = await loadArchive(store, createReadStream(archive))
    const image = await readImage(store.blobs, loaded!.descriptor)
    const mounted = buildah('mount', name)
    try {
      expect(entriesOfTree(await openTree(store, image.layers))).toEqual(entriesOfFolder(mounted))
      expect(image.config.config).toMatchObject({ Env: expect.arrayContaining(['A=b']) as string[] })
    } finally {
      buildah('umount', name)
    }
  })
})
