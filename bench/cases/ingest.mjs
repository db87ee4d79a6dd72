// How fast do layers come in and go out? Against sha256 of the same bytes, the entry rate of tar-stream, and GNU tar.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { commitLayer, createMemoryStore, openDiskStore, scanTar } from 'lamella/store'
import {
  EMPTY_TREE,
  TreeEditor,
  TreeNode,
  bytesSource,
  commitDiff,
  encodeLayer,
  diffTrees,
  indexLayer,
  ingestLayer,
  openTree,
} from 'lamella/unionfs'
import * as tarStream from 'tar-stream'
import { inTurn } from '../timing.mjs'

export const group = 'ingest'

/** Files of `size` bytes, 20 in a directory; contents differ. */
function sample(count, size) {
  const editor = new TreeEditor(EMPTY_TREE)
  const bytes = new Uint8Array(size + count)
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 2654435761) >>> 24
  const source = bytesSource(bytes)
  for (let i = 0; i < count; i++) {
    if (i % 20 === 0) editor.put(`dir${i / 20}`, new TreeNode({ kind: 'dir', mtimeSec: 1 }))
    const node = new TreeNode({ kind: 'file', size, source, offset: i, mtimeSec: 1 })
    editor.put(`dir${Math.floor(i / 20)}/file${i}`, node)
  }
  return editor.finish()
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

export async function* run({ quick }) {
  const small = sample(quick ? 2_000 : 20_000, 2048)
  yield* ingest('small files (2 KB)', small, quick ? 3 : 9)
  yield* ingest('large files (5 MB)', sample(quick ? 8 : 200, 5_000_000), quick ? 3 : 5)
  yield* toDisk(small, quick ? 3 : 7)
  yield* indexOnly(small, quick ? 3 : 9)
  yield* commit(small, quick ? 3 : 7)
}

/** A store whose blobs are only hashed and kept as they came: what ingest costs without any disk. */
function hashingStore() {
  const store = createMemoryStore()
  const blobs = new Map()
  const put = async (bytes) => {
    const hash = createHash('sha256')
    const chunks = []
    let size = 0
    for (const chunk of bytes) {
      hash.update(chunk)
      chunks.push(chunk)
      size += chunk.length
    }
    const digest = `sha256:${hash.digest('hex')}`
    blobs.set(digest, { chunks, size })
    return { digest, size }
  }
  const open = async (digest) => {
    const bytes = Buffer.concat(blobs.get(digest).chunks)
    return { digest, size: bytes.length, read: (at, length) => bytes.subarray(at, at + length) }
  }
  const stat = async (digest) => ({ digest, size: blobs.get(digest).size })
  return { ...store, blobs: { put, open, stat } }
}

async function* ingest(name, tree, rounds) {
  const tar = Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))])
  const want = sha256(tar)
  let last
  const results = await inTurn(
    {
      sha256: { run: () => sha256(tar) },
      ingest: {
        setup: hashingStore,
        run: async (store) => {
          const layer = await ingestLayer(store, [tar])
          if (layer.diffID !== `sha256:${want}`) throw new Error('wrong diffID')
          last = { store, layer }
        },
      },
    },
    rounds,
  )
  const opened = await openTree(last.store, [last.layer])
  if (diffTrees(opened, tree).length > 0) throw new Error('wrong tree')
  yield {
    name: `ingest, ${name}`,
    question: 'hash, scan and index of a layer that comes in',
    n: tar.length,
    ...results.ingest,
    bytes: tar.length,
    baseline: 'sha256 of the bytes (speed)',
    ratio: results.sha256.p50Ns / results.ingest.p50Ns,
    target: '>= 0.8',
    check: true,
  }
}

/** The whole way of a layer that comes in as a stream: hashed, written, indexed, published. */
async function* toDisk(tree, rounds) {
  const tar = Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))])
  const chunks = []
  for (let at = 0; at < tar.length; at += 64 << 10) chunks.push(tar.subarray(at, at + (64 << 10)))
  const scratch = mkdtempSync(join(tmpdir(), 'lamella-bench-ingest-'))
  let stores = 0
  const open = () => openDiskStore(join(scratch, `store${stores++}`), { durability: 'none' })
  try {
    const results = await inTurn(
      {
        sha256: { run: () => sha256(tar) },
        // As a layer came in before: stored, then read again for its index.
        twice: { setup: open, run: async (store) => indexLayer(store, await commitLayer(store, chunks)) },
        once: { setup: open, run: (store) => ingestLayer(store, chunks) },
      },
      rounds,
    )
    const ratio = results.sha256.p50Ns / results.once.p50Ns
    const question = 'a stream of 64 KiB chunks into a store on disk, nothing synced'
    const baseline = 'sha256 of the bytes (speed)'
    yield { name: 'ingest to disk', question, n: tar.length, ...results.once, baseline, ratio, check: true }
    yield {
      name: 'ingest to disk, then index',
      question: 'the same in two passes',
      n: tar.length,
      ...results.twice,
      baseline: 'in one pass (time)',
      ratio: results.twice.p50Ns / results.once.p50Ns,
      check: true,
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function* indexOnly(tree, rounds) {
  const tar = Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))])
  const { Parser } = await import('tar')
  let [ours, theirs, npms] = [0, 0, 0]
  const results = await inTurn(
    {
      scan: {
        run: () => {
          ours = 0
          for (const entry of scanTar(tar)) ours += entry.path.length
        },
      },
      tarStream: {
        run: async () => {
          theirs = 0
          const extract = tarStream.extract()
          extract.end(tar)
          for await (const entry of extract) {
            theirs += entry.header.name.length
            entry.resume()
          }
        },
      },
      nodeTar: {
        run: () =>
          new Promise((resolve, reject) => {
            npms = 0
            const parser = new Parser({ strict: true })
            parser.on('entry', (entry) => {
              npms += entry.path.length
              entry.resume()
            })
            parser.on('end', resolve)
            parser.on('error', reject)
            parser.end(tar)
          }),
      },
    },
    rounds,
  )
  if (ours !== theirs || ours !== npms || ours === 0)
    throw new Error(`other names: ${ours}, ${theirs}, ${npms}`)
  for (const [name, of] of [
    ['tar-stream', results.tarStream],
    ['node-tar', results.nodeTar],
  ]) {
    yield {
      name: `index only, to ${name}`,
      question: 'all headers of an archive',
      n: diffTrees(EMPTY_TREE, tree).length,
      ...results.scan,
      baseline: `${name} (entry rate)`,
      ratio: of.p50Ns / results.scan.p50Ns,
      target: '>= 5',
      check: true,
    }
  }
}

/** Both start from what they work on: a tree in memory, files in the page cache; both end with an archive and its hash. */
async function* commit(tree, rounds) {
  const scratch = mkdtempSync(join(tmpdir(), 'lamella-bench-ingest-'))
  const files = join(scratch, 'files')
  for (const { path, node } of tree.walk()) {
    if (node.kind === 'dir') mkdirSync(join(files, path), { recursive: true })
    else writeFileSync(join(files, path), node.content())
  }
  const archive = join(scratch, 'out.tar')
  const script = `tar -cf ${archive} -C ${files} . && sha256sum ${archive}`
  if (spawnSync('tar', ['--version']).status !== 0) return
  let stores = 0
  try {
    const results = await inTurn(
      {
        gnu: { run: () => execFileSync('sh', ['-c', script]) },
        ours: {
          setup: () => openDiskStore(join(scratch, `store${stores++}`), { durability: 'none', create: true }),
          run: async (store) => {
            const { descriptor } = await commitDiff(store, EMPTY_TREE, tree)
            if (descriptor.size < 1000) throw new Error('nothing was written')
          },
        },
      },
      rounds,
    )
    yield {
      name: 'commit of a changeset',
      question: 'diff, tar, sha256, index, store on disk',
      n: diffTrees(EMPTY_TREE, tree).length,
      ...results.ours,
      baseline: 'GNU tar c + sha256sum',
      ratio: results.ours.p50Ns / results.gnu.p50Ns,
      target: '<= 1.5',
      check: true,
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
