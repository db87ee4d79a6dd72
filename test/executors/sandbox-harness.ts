// What the sandbox's tests share: the executor over a root of busybox, and looks at the machine from outside.
import { readdirSync, readFileSync } from 'node:fs'
import { sandboxExecutor, type ExecRequest } from '../../src/builder/index.js'
import { createMemoryStore } from '../../src/store/index.js'
import { commitDiff, EMPTY_TREE, UnionView, type Tree } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import { busyboxLayers, busyboxRoot, canSandbox, runLine, sandboxFolder } from './harness.js'

export const isRoot = process.getuid?.() === 0
export const sandboxTest = (name: string, fn: () => Promise<void>, ms?: number): void =>
  peerTest(name, canSandbox && isRoot, fn, ms)

/** Mounts of this process's namespace that a sandbox in the folder has left. */
export const mountsIn = (folder: string): string[] =>
  readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder))

/** Processes of the machine with a text in their command line. */
export function processesWith(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
}

export async function sandboxOver(tree?: Tree) {
  const folder = sandboxFolder()
  const store = tree === undefined ? (await busyboxLayers()).store : createMemoryStore()
  const root = tree ?? (await busyboxRoot())
  const layers =
    tree === undefined ? (await busyboxLayers()).layers : [await commitDiff(store, EMPTY_TREE, tree)]
  const executor = sandboxExecutor({ store, folder })
  const run = (line: string, changes: Partial<ExecRequest> = {}) =>
    runLine(executor, changes.view ?? UnionView.open(root), line, { layers, ...changes })
  return { executor, root, layers, folder, run }
}
