// The kernel's answer to a case: a real overlay mount, node:fs in a process that has it as its root.
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { scanTar } from 'lamella/store'
import type { Case, Outcome } from './case.js'
import { describeXattrs, latin1Path, overlayTar } from './layers.js'

export const MOUNT_OPTIONS = 'redirect_dir=on,index=on,metacopy=off'
export const KERNEL = release()

const here = dirname(fileURLToPath(import.meta.url))

interface Loader {
  readonly path: string
  /** Library folders as seen through the host's root, joined by `:`. */
  readonly libraries: string
}

/** How node is started where there is nothing but node: by its dynamic loader, with its libraries named. */
function findLoader(): Loader {
  const lines = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).split('\n')
  const paths = lines.flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? [])
  const loader = paths.find((path) => /\/ld-[^/]+$/.test(path))
  if (loader === undefined) throw new Error('no dynamic loader found')
  const folders = new Set(paths.map((path) => `/.host${dirname(realpathSync(path))}`))
  return { path: realpathSync(loader), libraries: [...folders].join(':') }
}

/** A case takes a tenth of a second; an operation that blocks in the kernel would take forever. */
const TIMEOUT_MS = 60_000

/** Mounts and processes of its own, so that ending it ends whatever still runs or is mounted inside. */
const NAMESPACES = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child']

let loader: Loader | undefined

/** Runs a case on a fresh mount. Leaves nothing behind: the mounts end with the child's namespace. */
export function runOnKernel(testCase: Case): Promise<Outcome> {
  loader ??= findLoader()
  const work = mkdtempSync(join(tmpdir(), 'lamella-differential-'))
  mkdirSync(join(work, 'fs'))
  testCase.layers.forEach((layer, i) => {
    writeFileSync(join(work, `layer-${i}.tar`), overlayTar(layer))
    const plain = layer.filter((entry) => entry.kind === 'dir' && (entry.mode! & 0o2000) === 0)
    writeFileSync(join(work, `layer-${i}.plain`), plain.map((entry) => `${entry.path}\0`).join(''), 'latin1')
  })
  const script = [join(here, 'kernel-mount.sh'), work, realpathSync(process.execPath), loader.path]
  const rest = [loader.libraries, join(here, 'kernel-child.mjs'), String(testCase.layers.length)]
  // Root prints the final tree itself.
  rest.push(testCase.identity.uid === 0 ? '' : join(here, 'kernel-dump.mjs'))
  const args = [...NAMESPACES, 'sh', ...script, ...rest]
  return new Promise<Outcome>((resolve, reject) => {
    const child = execFile(
      'unshare',
      args,
      { maxBuffer: 256 * 1024 * 1024, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        try {
          if (error !== null) {
            const why = error.killed ? `no answer within ${TIMEOUT_MS} ms` : `${stderr}${error.message}`
            throw new Error(`kernel side of seed ${testCase.seed} failed: ${why}`)
          }
          resolve(outcomeOf(stdout, xattrsIn(readFileSync(join(work, 'final.tar')))))
        } catch (problem) {
          reject(problem as Error)
        } finally {
          rmSync(work, { recursive: true, force: true })
        }
      },
    )
    const { identity, umask, steps } = testCase
    child.stdin!.end(JSON.stringify({ identity, umask, steps }))
  })
}

/** Results and tree, a line each. */
function outcomeOf(stdout: string, xattrs: ReadonlyMap<string, object>): Outcome {
  const [results, tree] = stdout.split('\n').map((line) => JSON.parse(line) as unknown) as [
    unknown[],
    Record<string, { readonly link?: string }>,
  ]
  for (const [path, values] of xattrs) {
    const first = tree[path]?.link ?? path
    tree[first] = { ...tree[first], xattrs: values } as object
  }
  return { results, tree }
}

/** Path → xattrs of the entries that have some; a hard link's are at one of its names. */
function xattrsIn(tar: Uint8Array): Map<string, Record<string, string>> {
  const out = new Map<string, Record<string, string>>()
  for (const { path, xattrs } of scanTar(tar)) {
    if (xattrs !== undefined && xattrs.size > 0) out.set(latin1Path(path), describeXattrs(xattrs))
  }
  return out
}

/** Whether this machine can mount overlays in a namespace of its own: root, unshare, overlayfs with trusted xattrs. */
export async function canMount(): Promise<boolean> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    const outcome = await runOnKernel({
      seed: 0,
      layers: [[{ kind: 'file', path: 'f', mode: 0o644, uid: 0, gid: 0, mtime: 1, content: 'x' }]],
      identity: { uid: 0, gid: 0, groups: [] },
      umask: 0o022,
      steps: [{ call: 'readFileSync', args: ['/f'] }],
    })
    return JSON.stringify(outcome.results) === '[{"ok":{"bytes":"x"}}]'
  } catch {
    return false
  }
}
