// A build as data: what is written before it, so that a real BuildKit and lamella can be given the very same. Trees are in
// the notation of ../builder/fixtures.ts, with what only a host folder can hold added.
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { encodePath } from '../../src/path.js'
import type { ContainerConfig, HistoryEntry } from '../../src/oci/index.js'

/**
 * Entries by path, a directory's ends in `/`; words as in ../builder/fixtures.ts and also `sock`, `b64=DATA` (content in
 * base64), `r64=DATA` (the same with `(n)` for n letters A). Owners are only set where the folder is made by root. Times default to `FILE_TIME`.
 */
export type FolderText = Readonly<Record<string, string>>

/** An image that a case starts from, given to both sides as an OCI layout. */
export interface ImageText {
  readonly files: FolderText
  readonly config?: ContainerConfig
  readonly history?: readonly HistoryEntry[]
}

export interface BuildCase {
  readonly name: string
  readonly dockerfile: string
  /** Files beside the Dockerfile, such as `Dockerfile.dockerignore`; it lies outside the context. */
  readonly beside?: FolderText
  readonly context?: FolderText
  /** `--build-context`: folders, or images as OCI layouts. */
  readonly contexts?: Readonly<Record<string, FolderText>>
  readonly images?: Readonly<Record<string, ImageText>>
  readonly args?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
  readonly target?: string
  readonly platform?: string
  /** SOURCE_DATE_EPOCH in seconds. */
  readonly epoch?: number
  /** `rewrite-timestamp=true` of the output. */
  readonly rewrite?: true
}

/** Modification time of everything that names none. */
export const FILE_TIME = 1_500_000_000

/** Whether only root can make the folders of a case. */
export function needsRoot({ context = {}, contexts = {} }: BuildCase): boolean {
  const values = [context, ...Object.values(contexts)].flatMap((folder) => Object.values(folder))
  return values.some((value) =>
    /(?:^| )(?:char=|block=|[0-3]?[0-3][0-7]{2}(?: |$))/.test(value.replace(/(?:^| )=.*$/s, '')),
  )
}

/** Makes a folder of the host. What is written is what the words say, whatever the umask is. */
export async function writeFolder(root: string, text: FolderText): Promise<void> {
  mkdirSync(root, { recursive: true })
  const later: { path: Buffer; mode: number; mtime: number }[] = []
  const seen = new Set<string>()
  const note = (path: string, mode: number, mtime: number): void => {
    seen.add(path)
    later.push({ path: hostPath(root, path), mode, mtime })
  }
  for (const [path, value] of Object.entries(text)) {
    const at = path.replace(/\/$/, '')
    for (let cut = at.indexOf('/'); cut !== -1; cut = at.indexOf('/', cut + 1)) {
      const parent = at.slice(0, cut)
      if (seen.has(parent) || text[`${parent}/`] !== undefined) continue
      mkdirSync(hostPath(root, parent), { recursive: true })
      note(parent, 0o755, FILE_TIME)
    }
    await writeEntry(root, at, path.endsWith('/'), value, note)
  }
  // Deepest first, since filling a folder moves its time.
  later.sort((a, b) => b.path.length - a.path.length)
  for (const { path, mode, mtime } of later) {
    chmodSync(path, mode)
    utimesSync(path, mtime, mtime)
  }
  utimesSync(root, FILE_TIME, FILE_TIME)
}

/** The path of a name that may hold bytes outside UTF-8. */
function hostPath(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), encodePath(path)])
}

async function writeEntry(
  root: string,
  at: string,
  isDirectory: boolean,
  value: string,
  note: (path: string, mode: number, mtime: number) => void,
): Promise<void> {
  const path = hostPath(root, at)
  const { words, content } = split(value)
  const mode = words.find((word) => /^[0-7]+$/.test(word))
  const mtime = Number(words.find((word) => word.startsWith('@'))?.slice(1) ?? FILE_TIME)
  const link = words.find((word) => word.startsWith('->'))
  const same = words.find((word) => word.startsWith('same='))
  const owner = words.find((word) => /^\d+:\d+$/.test(word))
  const device = words.find((word) => /^(?:char|block)=/.test(word))
  if (same !== undefined) return linkSync(hostPath(root, same.slice(5)), path)
  if (link !== undefined) {
    symlinkSync(Buffer.from(encodePath(link.slice(2))), path)
    return lutimesSync(path, mtime, mtime)
  }
  if (isDirectory) mkdirSync(path, { recursive: true })
  else if (device !== undefined) {
    const [kind, major, minor] = device.split(/[=:]/)
    execFileSync('mknod', [path.toString(), kind === 'char' ? 'c' : 'b', major!, minor!])
  } else if (words.includes('fifo')) execFileSync('mkfifo', [path.toString()])
  else if (words.includes('sock')) await makeSocket(root, path)
  else writeFileSync(path, content)
  if (owner !== undefined && process.getuid?.() === 0) {
    const [uid, gid] = owner.split(':').map(Number)
    chownSync(path, uid!, gid!)
  }
  note(at, mode === undefined ? (isDirectory ? 0o755 : 0o644) : Number.parseInt(mode, 8), mtime)
}

function split(value: string): { readonly words: readonly string[]; readonly content: Uint8Array } {
  const content = /(?:^| )([br]64)?=(.*)$/s.exec(value.replace(/(char|block|same)=/g, '$1\0'))
  const head = content === null ? value : value.slice(0, content.index)
  const text = content?.[2]?.replaceAll('\0', '=') ?? ''
  return {
    words: head.split(' ').filter((word) => word !== ''),
    content: content?.[1] === undefined ? encodePath(text) : decoded(content[1], text),
  }
}

function decoded(form: string, text: string): Uint8Array {
  const plain = form === 'r64' ? text.replace(/\((\d+)\)/g, (_, count) => 'A'.repeat(Number(count))) : text
  return Buffer.from(plain, 'base64')
}

/** A socket in the file system; it is moved before its server ends, who would remove it. */
async function makeSocket(root: string, path: Buffer): Promise<void> {
  const server = createServer()
  const temporary = join(dirname(root), 's')
  await new Promise<void>((resolve) => server.listen(temporary, resolve))
  renameSync(temporary, path)
  await new Promise((resolve) => server.close(resolve))
}
