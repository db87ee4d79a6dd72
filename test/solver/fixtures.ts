// Trees as the vectors write them, and operations for the solver that do what a test says.
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync, chmodSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { digestOf, type Digest } from '../../src/digest.js'
import { bytesSource, childrenOf, Tree, TreeNode, TreeEditor, EMPTY_TREE } from '../../src/unionfs/index.js'

export interface FileSpec {
  readonly type?: 'file' | 'dir' | 'symlink'
  readonly mode?: string
  readonly uid?: number
  readonly gid?: number
  readonly content?: string
  readonly target?: string
}

/** Paths to entries; a string is a file 0644 with that content, `{}` a directory. Missing parents are 0755. */
export type TreeSpec = Readonly<Record<string, FileSpec | string>>

function specOf(entry: FileSpec | string): FileSpec {
  return typeof entry === 'string' ? { type: 'file', content: entry } : { type: 'dir', ...entry }
}

export function treeOf(spec: TreeSpec): Tree {
  const editor = new TreeEditor(EMPTY_TREE)
  for (const [path, entry] of Object.entries(spec)) {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const dir = path.slice(0, at)
      if (editor.lookup(dir) === undefined)
        editor.put(dir, new TreeNode({ kind: 'dir', children: childrenOf([]) }))
    }
    editor.put(path, nodeOf(specOf(entry)))
  }
  return editor.finish()
}

function nodeOf({ type, mode, uid = 0, gid = 0, content = '', target = '' }: FileSpec): TreeNode {
  const owner = { uid, gid, ...(mode !== undefined && { mode: Number.parseInt(mode, 8) }) }
  if (type === 'dir') return new TreeNode({ kind: 'dir', ...owner, children: childrenOf([]) })
  if (type === 'symlink') return new TreeNode({ kind: 'symlink', ...owner, target, size: target.length })
  const bytes = new TextEncoder().encode(content)
  return new TreeNode({ kind: 'file', ...owner, size: bytes.length, source: bytesSource(bytes) })
}

/** The same on the host, in a folder that goes away with the test. */
export function folderOf(spec: TreeSpec, base = tempFolder()): string {
  for (const [path, entry] of Object.entries(spec)) {
    const at = join(base, path)
    const { type, mode, content = '', target = '' } = specOf(entry)
    mkdirSync(type === 'dir' ? at : dirname(at), { recursive: true })
    if (type === 'symlink') symlinkSync(target, at)
    else if (type === 'file') writeFileSync(at, content)
    if (type !== 'symlink') chmodSync(at, Number.parseInt(mode ?? (type === 'dir' ? '755' : '644'), 8))
  }
  return base
}

export function tempFolder(): string {
  const base = mkdtempSync(join(tmpdir(), 'lamella-solver-'))
  onTestFinished(() => rmSync(base, { recursive: true, force: true }))
  return base
}

export function sha(text: string): Digest {
  return digestOf(text)
}
