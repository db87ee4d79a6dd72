// Images to make containers of, and executors that need nothing of the machine.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { ExecRequest, ExecResult, Executor } from '../../src/builder/index.js'
import { writeImage, type ContainerConfig } from '../../src/oci/index.js'
import { createMemoryStore, openDiskStore, type Store } from '../../src/store/index.js'
import { commitDiff, EMPTY_TREE, UnionView } from '../../src/unionfs/index.js'
import { removeTree } from '../remove.js'

export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-containers-'))
  onTestFinished(() => removeTree(folder))
  return folder
}

/** Both kinds of store: what holds for containers holds in each. */
export const STORES: readonly (readonly [name: string, open: () => Promise<Store>])[] = [
  ['memory', async () => createMemoryStore()],
  ['disk', () => openDiskStore(join(scratch(), 'store'), { durability: 'none' })],
]

export interface ImageSpec {
  readonly name?: string
  readonly config?: ContainerConfig
  readonly files?: (fs: UnionView['fs']) => void
}

/** `app:latest` with `/etc/passwd`, `/data/seed`, `/bin/tool`, unless told otherwise. */
export async function putImage(store: Store, spec: ImageSpec = {}): Promise<void> {
  const view = UnionView.open(EMPTY_TREE)
  const { fs } = view
  for (const dir of ['/etc', '/data', '/bin', '/home/web']) fs.mkdirSync(dir, { recursive: true })
  fs.writeFileSync('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home/web:/bin/sh\n')
  fs.writeFileSync('/data/seed', 'from the image\n')
  fs.chmodSync('/data', 0o770)
  fs.chownSync('/data', 1000, 1000)
  fs.writeFileSync('/bin/tool', 'binary\n', { mode: 0o755 })
  spec.files?.(fs)
  const layer = await commitDiff(store, EMPTY_TREE, view.snapshot())
  const image = await writeImage(store.blobs, {
    config: {
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['PATH=/bin', 'MODE=image'], Cmd: ['sh', '-c', 'true'], ...spec.config },
      rootfs: { type: 'layers', diff_ids: [layer.diffID] },
      history: [{ created_by: 'test' }],
    },
    layers: [layer],
  })
  await store.refs.set(spec.name ?? 'app:latest', image.descriptor)
}

export async function storeWithImage(spec: ImageSpec = {}): Promise<Store> {
  const store = createMemoryStore()
  await putImage(store, spec)
  return store
}

type Program = (request: ExecRequest) => number | void | Promise<number | void>

/** An executor that runs a function in the view. */
export function inView(program: Program): Executor {
  return {
    name: 'in-view',
    capabilities: { mounts: ['bind', 'tmpfs'], networks: ['default', 'none'], binaries: false },
    run: async (request) => ({ exitCode: (await program(request)) ?? 0 }),
  }
}

/** An executor that runs a function on a copy, as the sandbox does; it knows host folders and stops. */
export function onCopy(program: Program): Executor {
  return {
    name: 'on-copy',
    capabilities: {
      mounts: ['bind', 'tmpfs'],
      networks: ['default', 'none'],
      binaries: true,
      worksOnCopy: true,
      hostMounts: true,
    },
    async run(request): Promise<ExecResult> {
      const view = UnionView.open(request.view.snapshot())
      const exitCode = (await program({ ...request, view })) ?? 0
      return { exitCode, tree: view.snapshot() }
    },
  }
}

export const BOTH: readonly (readonly [name: string, make: (program: Program) => Executor])[] = [
  ['in the view', inView],
  ['on a copy', onCopy],
]

export const text = (fs: UnionView['fs'], path: string): string => fs.readFileSync(path, 'utf8')
