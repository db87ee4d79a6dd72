// What we write, unpacked by umoci: stacks of two random layers must give the merged tree, entry by entry. The unpacked
// files are read back through GNU tar, whose archives gnu-tar.test.ts compares with the file system.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect } from 'vitest'
import {
  EMPTY_TREE,
  TreeEditor,
  applyChangeset,
  diffTrees,
  encodeLayer,
  readLayer,
  type Tree,
} from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { findProgram, peerTest } from '../peers.js'
import { dump, editLists, edited, trees } from './arbitrary.js'

const RUNS = runs(25)
const available =
  findProgram('umoci') !== undefined && findProgram('tar') !== undefined && process.getuid?.() === 0

let work: string
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'lamella-umoci-'))
})
afterEach(() => rmSync(work, { recursive: true, force: true }))

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** The stack as umoci unpacks it. */
function unpacked(layers: readonly Uint8Array[], name: string): Tree {
  const layout = join(work, name)
  run('umoci', 'init', '--layout', layout)
  run('umoci', 'new', '--image', `${layout}:t`)
  for (const [i, layer] of layers.entries()) {
    const file = join(work, `${name}-${i}.tar`)
    writeFileSync(file, layer)
    run('umoci', 'raw', 'add-layer', '--image', `${layout}:t`, file)
  }
  const bundle = join(work, `${name}-bundle`)
  run('umoci', 'unpack', '--image', `${layout}:t`, bundle)
  const archive = join(work, `${name}-out.tar`)
  const tar = ['--xattrs', '--xattrs-include=*', '--format=pax', '--sort=name', '-cf', archive]
  run('tar', ...tar, '-C', join(bundle, 'rootfs'), '.')
  return applyChangeset(EMPTY_TREE, readLayer(readFileSync(archive)))
}

/**
 * Without the root, whose metadata no layer of ours sets, and without link counts of devices and fifos, which GNU tar
 * writes as if they had one name.
 */
function entries(tree: Tree): unknown[] {
  const [, ...below] = dump(tree) as unknown[][]
  return below.map((row) =>
    row[1] === 'file' || row[1] === 'symlink' ? row : row.filter((_, i) => i !== 9 && i !== 10),
  )
}

/**
 * Without what the other side cannot have: Linux allows user.* attributes on files and directories only, and Go's
 * archive/tar, as PAX says, takes an empty value for none.
 */
function portable(tree: Tree): Tree {
  const editor = new TreeEditor(tree)
  for (const { path, node } of tree.walk()) {
    if (node.xattrs === undefined) continue
    const xattrs = node.kind === 'file' || node.kind === 'dir' ? [...node.xattrs] : []
    editor.put(path, node.with({ xattrs: new Map(xattrs.filter(([, value]) => value.length > 0)) }))
  }
  return editor.finish()
}

/** The layer that umoci writes for a rootfs that holds `b` where its image has `a`. */
function repacked(a: Tree, b: Tree, name: string): Uint8Array {
  unpacked([bytesOf(EMPTY_TREE, a)], name)
  const rootfs = join(work, `${name}-bundle/rootfs`)
  run('find', rootfs, '-mindepth', '1', '-delete')
  const archive = join(work, `${name}-b.tar`)
  writeFileSync(archive, bytesOf(EMPTY_TREE, b))
  run('tar', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', archive, '-C', rootfs)
  const layout = join(work, name)
  run('umoci', 'repack', '--image', `${layout}:b`, join(work, `${name}-bundle`))
  const blob = (digest: string) => readFileSync(join(layout, 'blobs/sha256', digest.slice(7)))
  const json = (bytes: Buffer) => JSON.parse(bytes.toString()) as Record<string, Record<string, unknown>[]>
  const index = json(readFileSync(join(layout, 'index.json')))
  const ref = index.manifests!.find((entry) => JSON.stringify(entry.annotations).includes('ref.name":"b"'))
  const layers = json(blob(ref!.digest as string)).layers!
  return gunzipSync(blob(layers.at(-1)!.digest as string))
}

/** umoci rounds times to seconds, and links only names that are in one layer. */
const untimed = (tree: Tree) =>
  (dump(tree).slice(1) as unknown[][]).map((row) => row.filter((_, i) => ![5, 6, 9, 10].includes(i)))

const bytesOf = (lower: Tree, upper: Tree) => Buffer.concat([...encodeLayer(diffTrees(lower, upper))])

peerTest('layers that umoci writes', available, () => {
  let run = 0
  fc.assert(
    fc.property(trees, editLists, (tree, list) => {
      const a = portable(tree)
      const b = portable(edited(a, list))
      if (diffTrees(a, b).length === 0) return
      const layer = readLayer(repacked(a, b, `repack${run++}`))
      expect(untimed(applyChangeset(a, layer))).toEqual(untimed(b))
    }),
    { numRuns: RUNS },
  )
})

peerTest('stacks of random layers', available, () => {
  let run = 0
  fc.assert(
    fc.property(trees, editLists, (tree, list) => {
      const a = portable(tree)
      const b = portable(edited(a, list))
      const layers = [bytesOf(EMPTY_TREE, a), bytesOf(a, b)]
      expect(entries(unpacked(layers, `run${run++}`))).toEqual(entries(b))
    }),
    { numRuns: RUNS },
  )
})
