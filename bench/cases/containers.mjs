// What does a container cost beyond what runs in it? An image of 100,000 files, opened already; one process, in turn with a
// plain fsync of as many small files as a container's life writes, which is what the disk alone takes.
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createContainer, removeContainer, startContainer } from 'lamella/containers'
import { writeImage } from 'lamella/oci'
import { openDiskStore } from 'lamella/store'
import { childrenOf, commitDiff, EMPTY_TREE, openTree, Tree, TreeNode, bytesSource } from 'lamella/unionfs'

export const group = 'containers'

const TARGET_MS = 50

function quantile(values, q) {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]
}

/** Files of 10 bytes, 100 in each directory. */
function treeOf(count) {
  const source = bytesSource(new TextEncoder().encode('0123456789'))
  const file = () => new TreeNode({ kind: 'file', size: 10, source })
  const dir = (entries) => new TreeNode({ kind: 'dir', children: childrenOf(entries) })
  const range = (n, make) => Array.from({ length: n }, (_, i) => [`n${i}`, make(i)])
  return new Tree(dir(range(count / 1000, () => dir(range(10, () => dir(range(100, file)))))))
}

async function putImage(store, count) {
  const layer = await commitDiff(store, EMPTY_TREE, treeOf(count))
  const image = await writeImage(store.blobs, {
    config: {
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: ['true'] },
      rootfs: { type: 'layers', diff_ids: [layer.diffID] },
    },
    layers: [layer],
  })
  await store.refs.set('app:latest', image.descriptor)
  return image
}

/** The process itself: nothing but one file that it writes. */
const executor = {
  name: 'bench',
  capabilities: { mounts: [], networks: ['default'], binaries: false },
  async run({ view }) {
    view.fs.writeFileSync('/n1/n2/written', 'x')
    return { exitCode: 0 }
  },
}

async function life(store) {
  const { id } = await createContainer(store, 'app')
  const { exitCode, info } = await startContainer(store, id, { executor })
  await removeContainer(store, id)
  if (exitCode !== 0 || info.layer === undefined || info.layer.descriptor.size > 10_000) {
    throw new Error(`the container ended with ${exitCode} and ${JSON.stringify(info.layer)}`)
  }
}

function syncs(folder, count) {
  for (let i = 0; i < count; i++) {
    const fd = openSync(join(folder, `sync-${i}`), 'w')
    writeSync(fd, 'x'.repeat(1000))
    fsyncSync(fd)
    closeSync(fd)
  }
}

async function timed(list, work) {
  const start = process.hrtime.bigint()
  await work()
  list.push(Number(process.hrtime.bigint() - start))
}

export async function* run({ quick }) {
  const scratch = mkdtempSync(join(tmpdir(), 'lamella-bench-containers-'))
  const files = quick ? 10_000 : 100_000
  const rounds = quick ? 10 : 50
  try {
    const store = await openDiskStore(join(scratch, 'store'))
    const image = await putImage(store, files)
    await openTree(store, image.layers)
    await life(store)
    const times = { life: [], sync: [] }
    for (let i = 0; i < rounds; i++) {
      await timed(times.life, () => life(store))
      await timed(times.sync, () => syncs(scratch, 8))
    }
    const p50Ns = quantile(times.life, 0.5)
    yield {
      name: `container create + start + rm, ${files} files`,
      question: 'what does a container cost beyond its process?',
      n: rounds,
      p50Ns,
      p99Ns: quantile(times.life, 0.99),
      baseline: `${TARGET_MS} ms`,
      ratio: p50Ns / (TARGET_MS * 1e6),
      target: '<= 1',
      check: true,
    }
    yield {
      name: '8 small files with fsync',
      question: 'what does the disk alone take?',
      n: rounds,
      p50Ns: quantile(times.sync, 0.5),
      p99Ns: quantile(times.sync, 0.99),
      check: true,
    }
    await store.close()
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
