// What do trees cost? Lookup, change, comparison, opening, memory: at 100,000 entries, against fixed limits.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { commitLayer, createMemoryStore } from 'lamella/store'
import {
  EMPTY_TREE,
  Tree,
  TreeEditor,
  TreeNode,
  applyChangeset,
  commitDiff,
  diffTrees,
  encodeLayer,
  openTree,
} from 'lamella/unionfs'
import { inTurn } from '../timing.mjs'

export const group = 'tree'

const file = (mode = 0o644) => new TreeNode({ kind: 'file', mode, mtimeSec: 1_700_000_000 })
const dir = () => new TreeNode({ kind: 'dir', mtimeSec: 1_700_000_000 })

/** Packages of 20 files, as node_modules has them. */
function packages(count) {
  const editor = new TreeEditor(EMPTY_TREE)
  for (const path of ['usr', 'usr/lib', 'usr/lib/node_modules']) editor.put(path, dir())
  for (let i = 0; i < count; i++) {
    const at = `usr/lib/node_modules/pkg${Math.floor(i / 20)}`
    if (i % 20 === 0) editor.put(at, dir())
    editor.put(`${at}/file-${i}.js`, file())
  }
  return editor.finish()
}

function flat(count) {
  const editor = new TreeEditor(EMPTY_TREE)
  for (let i = 0; i < count; i++) editor.put(`file-${i}`, file())
  return editor.finish()
}

/** `count` files changed or added, spread over the tree. */
function changes(count, pathOf) {
  return Array.from({ length: count }, (_, i) => ({ kind: 'put', path: pathOf(i), node: file(0o600) }))
}

function row(name, question, n, result, limitNs, limitText) {
  return {
    name,
    question,
    n,
    ...result,
    baseline: `limit ${limitText}`,
    ratio: result.p50Ns / limitNs,
    target: '<= 1',
    check: true,
  }
}

function assertEqual(got, want, what) {
  if (got !== want) throw new Error(`${what}: ${got}, not ${want}`)
}

export async function* run({ quick }) {
  const count = quick ? 10_000 : 100_000
  const rounds = quick ? 15 : 101
  const tree = packages(count)
  const wide = flat(count)
  const step = Math.floor(count / 20 / 100)
  const hundred = changes(100, (i) => `usr/lib/node_modules/pkg${i * step}/new-${i}.js`)
  const ten = changes(10, (i) => (i % 2 ? `file-${i * 999}` : `new-${i}`))
  const tenSpread = hundred.slice(0, 10)
  const changed = applyChangeset(tree, tenSpread)
  assertEqual(diffTrees(tree, applyChangeset(tree, hundred)).length, 100, 'changes')
  assertEqual(applyChangeset(wide, ten).lookup('file-999').mode, 0o600, 'mode')

  const store = createMemoryStore()
  const layer = await commitDiff(store, EMPTY_TREE, tree)
  const opened = await openTree(store, [layer])
  assertEqual([...opened.walk()].length, [...tree.walk()].length, 'entries')

  const paths = [...tree.walk()].map(({ path }) => path)
  const hot = Array.from({ length: 1000 }, (_, i) => paths[(i * 97) % 5000])
  const repeats = 50
  const lookups = () => {
    let found = 0
    for (let i = 0; i < repeats; i++) for (const path of hot) if (tree.lookup(path) !== undefined) found++
    assertEqual(found, hot.length * repeats, 'found')
  }

  // Each by itself: what is hot must stay hot.
  const results = {
    ...(await inTurn({ lookups: { run: lookups } }, rounds)),
    ...(await inTurn({ hundred: { run: () => applyChangeset(tree, hundred) } }, rounds)),
    ...(await inTurn({ ten: { run: () => applyChangeset(wide, ten) } }, rounds)),
    ...(await inTurn({ diff: { run: () => diffTrees(tree, changed) } }, rounds)),
    // A store object of its own has no memo of the tree; the bytes are shared.
    ...(await inTurn(
      { open: { setup: () => ({ ...store }), run: (fresh) => openTree(fresh, [layer]) } },
      rounds,
    )),
  }
  const { p50Ns, p99Ns } = results.lookups
  const perLookup = { p50Ns: p50Ns / hot.length / repeats, p99Ns: p99Ns / hot.length / repeats }
  yield row('lookup, hot, depth 5', 'one path in a tree', count, perLookup, 300, '0.3 us')
  yield row('apply 100 changes', 'a small layer on a big tree', count, results.hundred, 300_000, '0.3 ms')
  yield row(
    'apply 10 changes, one directory',
    'directory of n entries',
    count,
    results.ten,
    1_000_000,
    '1 ms',
  )
  yield row('diff after 10 changes', 'shared parts are skipped', count, results.diff, 500_000, '0.5 ms')
  const perEntry = 60e6 / 100_000
  yield row(
    'open index and apply',
    'a layer seen before',
    count,
    results.open,
    perEntry * count,
    '60 ms / 100k',
  )
  yield memory(layer, store, paths.length)
  yield await writes(tree, quick)
}

/** Heap of an opened tree, everything else released. */
async function memory(layer, store, entries) {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const used = () => {
    gc()
    gc()
    return process.memoryUsage().heapUsed
  }
  const before = used()
  const tree = await openTree({ ...store }, [layer])
  const bytes = Math.round((used() - before) / entries)
  return {
    name: 'memory per entry',
    question: 'heap of an opened tree',
    n: entries,
    bytes,
    baseline: `${bytes} B, limit 250 B`,
    ratio: bytes / 250,
    target: '<= 1',
    check: tree instanceof Tree,
  }
}

/** A commit is the tar, its hash and its index: what the index costs on top. */
async function writes(tree, quick) {
  const changeset = diffTrees(EMPTY_TREE, tree)
  const results = await inTurn(
    {
      commitDiff: { setup: createMemoryStore, run: (store) => commitDiff(store, EMPTY_TREE, tree) },
      tarOnly: { setup: createMemoryStore, run: (store) => commitLayer(store, encodeLayer(changeset)) },
    },
    quick ? 3 : 7,
  )
  return {
    name: 'commitDiff of empty files',
    question: 'diff, tar, hash and index of every entry',
    n: changeset.length,
    ...results.commitDiff,
    baseline: 'tar and hash alone',
    ratio: results.commitDiff.p50Ns / results.tarOnly.p50Ns,
    check: true,
  }
}
