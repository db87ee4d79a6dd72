// Runs a case on a view, compares with the kernel's outcome, and makes failing cases small.
import { UnionView } from 'lamella/unionfs'
import type { Case, Outcome, Step } from './case.js'
import { dump, execute } from './executor.mjs'
import { describeXattrs, latin1Path, treeOf } from './layers.js'

export function runOnView(testCase: Case): Outcome {
  const { identity, umask } = testCase
  const view = new UnionView(treeOf(testCase.layers), { ...identity, umask })
  const results = execute(view.fs, testCase.steps) as unknown[]
  // The snapshot is read by root, as the kernel's tree is, and has to show what the view shows.
  const snapshot = view.snapshot()
  const tree = dump(new UnionView(snapshot).fs, '/') as Record<string, { readonly link?: string }>
  const seen = new Set<unknown>()
  for (const { path, node } of snapshot.walk()) {
    if (node.xattrs === undefined || seen.has(node)) continue
    seen.add(node)
    const key = tree[latin1Path(path)]?.link ?? latin1Path(path)
    tree[key] = { ...tree[key], xattrs: describeXattrs(node.xattrs) } as object
  }
  return { results, tree }
}

export interface Difference {
  /** Number of the step, or the path in the final tree. */
  readonly at: number | string
  readonly kernel: unknown
  readonly view: unknown
}

/** Steps whose failure part-way leaves a state that depends on the order of directories: nothing after them is compared. */
function leavesUnknown(step: Step, result: unknown): boolean {
  const isRecursive =
    step.call === 'cpSync' ||
    (step.call === 'rmSync' && JSON.stringify(step.args[1] ?? {}).includes('"recursive":true'))
  return isRecursive && typeof result === 'object' && result !== null && 'error' in result
}

/**
 * overlayfs cannot copy up what has no name any more: changing metadata through a read-only descriptor of a removed lower
 * file fails there (docs/unionfs.md).
 */
function isLostDescriptor(step: Step, kernelResult: unknown): boolean {
  const { error } = kernelResult as { readonly error?: unknown }
  return (
    ['fchmodSync', 'fchownSync', 'futimesSync'].includes(step.call) && (error === 'EIO' || error === 'ENOENT')
  )
}

export function firstDifference(testCase: Case, kernel: Outcome, view: Outcome): Difference | undefined {
  const isEqual = hidesLinks(testCase.layers) ? isEqualButLinkCounts : isExactlyEqual
  for (const [i, step] of testCase.steps.entries()) {
    const [a, b] = [kernel.results[i], view.results[i]]
    if (leavesUnknown(step, a) && leavesUnknown(step, b)) return undefined
    if (!isEqual(a, b) && !isLostDescriptor(step, a)) return { at: i, kernel: a, view: b }
  }
  const paths = new Set([...Object.keys(kernel.tree), ...Object.keys(view.tree)])
  for (const path of [...paths].sort()) {
    if (!isEqual(kernel.tree[path], view.tree[path])) {
      return { at: path, kernel: kernel.tree[path], view: view.tree[path] }
    }
  }
  return undefined
}

function isExactlyEqual(a: unknown, b: unknown): boolean {
  return canonical(a, []) === canonical(b, [])
}

function isEqualButLinkCounts(a: unknown, b: unknown): boolean {
  return canonical(a, ['nlink', 'link']) === canonical(b, ['nlink', 'link'])
}

function canonical(value: unknown, without: readonly string[]): string {
  return JSON.stringify(value, (_, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(
          Object.entries(item)
            .filter(([name]) => !without.includes(name))
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        )
      : item,
  )
}

/**
 * Whether a layer hides a name of a hard-linked file of a layer below. overlayfs goes on counting such names, which is the
 * one thing in which it is not a plain filesystem (docs/unionfs.md).
 */
function hidesLinks(layers: Case['layers']): boolean {
  return layers.some((layer, i) => {
    const linked = layer.flatMap((entry) => (entry.kind === 'link' ? [entry.path, entry.target!] : []))
    return layers
      .slice(i + 1)
      .some((above) =>
        above.some(
          (entry) =>
            linked.includes(entry.path) ||
            ((entry.kind !== 'dir' || entry.isOpaque) &&
              linked.some((path) => path.startsWith(`${entry.path}/`))),
        ),
      )
  })
}

/** Takes steps and layer entries away while the case still fails. `fails` runs both sides. */
export async function shrink(testCase: Case, fails: (candidate: Case) => Promise<boolean>): Promise<Case> {
  let best = testCase
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = best.steps.length - size; at >= 0; at -= size) {
      const candidate = { ...best, steps: best.steps.toSpliced(at, size) }
      if (await fails(candidate)) best = candidate
    }
  }
  for (let layer = best.layers.length - 1; layer >= 0; layer--) {
    for (let at = best.layers[layer]!.length - 1; at >= 0; at--) {
      const gone = best.layers[layer]![at]?.path
      if (gone === undefined) continue
      // What lies below an entry, or is linked to it, goes with it.
      const layers = best.layers.map((entries, i) =>
        i === layer
          ? entries.filter(({ path, target, kind }) => {
              const isLinkTo = kind === 'link' && (target === gone || target!.startsWith(`${gone}/`))
              return path !== gone && !path.startsWith(`${gone}/`) && !isLinkTo
            })
          : entries,
      )
      const candidate = { ...best, layers }
      if (await fails(candidate)) best = candidate
    }
  }
  return best
}

/** A case as a program that a reader can follow. */
export function program(testCase: Case): string {
  const lines = testCase.layers.flatMap((layer, i) => [
    `// layer ${i}`,
    ...layer.map((entry) => `//   ${JSON.stringify(entry)}`),
  ])
  const { uid, gid, groups } = testCase.identity
  lines.push(
    `// seed ${testCase.seed}, uid ${uid} gid ${gid} groups [${groups}], umask 0o${testCase.umask.toString(8)}`,
  )
  for (const { call, args, slot } of testCase.steps) {
    const text = `fs.${call}(${args.map((arg) => JSON.stringify(arg)).join(', ')})`
    lines.push(slot === undefined ? text : `fd[${slot}] = ${text}`)
  }
  return lines.join('\n')
}
