// The two builders that are compared: BuildKit behind `docker buildx`, and lamella in process. Both read the same folders.
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { build, type BuildOptions, type BuildResult } from '../../src/builder/build.js'
import { parsePlatform } from '../../src/builder/dockerfile/index.js'
import type { Env } from '../../src/env.js'
import { saveLayout, writeImage } from '../../src/oci/index.js'
import { encodePath } from '../../src/path.js'
import {
  createMemoryStore,
  openDiskStore,
  openLayerBlob,
  readBlob,
  type Store,
} from '../../src/store/index.js'
import { commitDiff, EMPTY_TREE } from '../../src/unionfs/index.js'
import { treeOf } from '../builder/fixtures.js'
import { writeFolder, type BuildCase, type ImageText } from './case.js'
import { imageRecord, readerOf, type BuildRecord } from './image-record.js'
import { scanTar } from '../../src/store/index.js'

/** Clock of lamella's builds here. */
const NOW = 4_000_000_000

const env: Env = {
  now: () => BigInt(NOW) * 1_000_000_000n,
  randomId: () => Math.random().toString(16).slice(2, 18).padStart(16, '0'),
  concurrency: 4,
}

/** The folders of a case on this host. */
export interface CaseFolder {
  readonly root: string
  readonly context: string
  readonly dockerfile: string
  /** `--build-context` values by name. */
  readonly contexts: Readonly<Record<string, string>>
}

/** Runs something with the folders of a case, and removes them. */
export async function withFolder<T>(it: BuildCase, use: (folder: CaseFolder) => Promise<T>): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), 'lamella-buildkit-'))
  try {
    chmodSync(root, 0o755)
    // A name of its own: BuildKit would sync into what it kept of a context of the same name, and folders that it finds
    // there lose their times.
    const context = join(root, basename(root))
    const dockerfile = join(root, 'file', 'Dockerfile')
    await writeFolder(context, it.context ?? {})
    await writeFolder(join(root, 'file'), it.beside ?? {})
    writeFileSync(dockerfile, encodePath(it.dockerfile))
    const contexts: Record<string, string> = {}
    for (const [name, files] of Object.entries(it.contexts ?? {})) {
      contexts[name] = join(root, `${basename(root)}-${name}`)
      await writeFolder(contexts[name], files)
    }
    for (const [name, image] of Object.entries(it.images ?? {})) {
      const layout = join(root, `image-${name}`)
      mkdirSync(layout)
      await writeLayout(layout, image)
      contexts[name] = `oci-layout://${layout}:latest`
    }
    return await use({ root, context, dockerfile, contexts })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

async function writeLayout(path: string, { files, config, history }: ImageText): Promise<void> {
  const store = createMemoryStore({ env })
  const layer = await commitDiff(store, EMPTY_TREE, treeOf(files))
  const image = await writeImage(store.blobs, {
    config: {
      os: 'linux',
      architecture: 'amd64',
      created: '2020-01-01T00:00:00Z',
      config: config ?? {},
      rootfs: { type: 'layers', diff_ids: [layer.diffID] },
      history: history ?? [{ created: '2020-01-01T00:00:00Z', created_by: 'base' }],
    },
    layers: [layer],
  })
  await using layout = await openDiskStore(path, { create: true })
  await saveLayout(store, [{ descriptor: image.descriptor, names: ['latest'] }], layout)
}

/** What lamella's image is. */
export async function recordLamella(it: BuildCase): Promise<BuildRecord> {
  return withFolder(it, async (folder) => {
    const store = createMemoryStore({ env })
    try {
      const result = await buildCase(it, folder, store)
      const config = JSON.parse(
        new TextDecoder().decode(await readBlob(store.blobs, result.configDigest)),
      ) as unknown
      const layers: Uint8Array[] = []
      for (const { descriptor, diffID } of result.layers) {
        const blob = await openLayerBlob(store, descriptor, diffID)
        layers.push(blob.read(0, blob.size))
      }
      return { image: imageRecord(config, layers) }
    } catch (error) {
      return { error: (error as Error).message }
    }
  })
}

/** lamella's build of a case whose folders stand. */
export function buildCase(
  it: BuildCase,
  folder: CaseFolder,
  store: Store,
  more: Partial<BuildOptions> = {},
): Promise<BuildResult> {
  return build({
    store,
    env,
    context: folder.context,
    dockerfile: folder.dockerfile,
    contexts: folder.contexts,
    buildArgs: it.args ?? {},
    labels: it.labels ?? {},
    secrets: it.secrets ?? {},
    target: it.target,
    platform: it.platform === undefined ? undefined : parsePlatform(it.platform),
    noCache: true,
    sourceDateEpoch: it.epoch,
    rewriteTimestamp: it.rewrite ?? false,
    ...more,
  })
}

/** What BuildKit's image is. Needs `docker` with buildx on PATH and a daemon that it reaches. */
export async function recordBuildkit(it: BuildCase): Promise<BuildRecord> {
  return withFolder(it, async (folder) => {
    const tar = join(folder.root, 'image.tar')
    const rewrite = it.rewrite ? ',rewrite-timestamp=true' : ''
    const { code, stderr } = await runDocker([
      ...buildxArguments(it, folder),
      `--output=type=oci,dest=${tar},compression=uncompressed,force-compression=true${rewrite}`,
    ])
    if (code !== 0) return { error: causeOf(stderr, folder) }
    const { config, layers } = readArchive(readFileSync(tar))
    return { image: imageRecord(config, layers) }
  })
}

/** `docker buildx build` of a case, without its output. */
export function buildxArguments(
  it: BuildCase,
  { root, context, dockerfile, contexts }: CaseFolder,
): string[] {
  const pairs = (flag: string, values: Readonly<Record<string, string>> = {}): string[] =>
    Object.entries(values).map(([name, value]) => `--${flag}=${name}=${value}`)
  const secrets = Object.entries(it.secrets ?? {}).map(([id, value]) => {
    writeFileSync(join(root, `secret-${id}`), value)
    return `--secret=id=${id},src=${join(root, `secret-${id}`)}`
  })
  return [
    'buildx',
    'build',
    '--progress=quiet',
    '--no-cache',
    '--provenance=false',
    `--file=${dockerfile}`,
    ...pairs('build-arg', it.args),
    ...pairs('label', it.labels),
    ...pairs('build-context', contexts),
    ...secrets,
    ...(it.target === undefined ? [] : [`--target=${it.target}`]),
    ...(it.platform === undefined ? [] : [`--platform=${it.platform}`]),
    ...(it.epoch === undefined ? [] : [`--build-arg=SOURCE_DATE_EPOCH=${it.epoch}`]),
    context,
  ]
}

export async function runDocker(args: readonly string[]): Promise<{ code: number; stderr: string }> {
  const child = spawn('docker', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => resolve(status ?? -1))
  })
  return { code, stderr }
}

/** What is left of an error once tools' prefixes, places of this host and random names are gone. */
function causeOf(stderr: string, { root }: CaseFolder): string {
  const at = stderr.lastIndexOf('ERROR: ')
  return stderr
    .slice(at === -1 ? 0 : at)
    .trim()
    .replaceAll(root, '')
    .replace(/^ERROR: (?:failed to build: )?(?:failed to solve: )?(?:rpc error: code = \w+ desc = )?/, '')
    .replace(/failed to calculate checksum of ref \S+: /, '')
    .replaceAll(
      /\/[^ ":]*\/(?:(?:buildkit-mount|containerd-mount|buildkit\d|docker-tmp)[^/ ":]*|snapshots\/\d+\/fs)/g,
      '',
    )
}

/** Config and uncompressed layers of the one image of an OCI archive. */
export function readArchive(bytes: Uint8Array): { config: unknown; layers: Uint8Array[] } {
  const members = membersOf(bytes)
  const json = (path: string): Record<string, unknown> =>
    JSON.parse(new TextDecoder().decode(members.get(path))) as Record<string, unknown>
  type Pointer = { readonly digest: string }
  const blob = ({ digest }: Pointer): string => `blobs/${digest.replace(':', '/')}`
  const [first] = json('index.json').manifests as Pointer[]
  const manifest = json(blob(first!)) as { config: Pointer; layers: Pointer[] | null }
  return {
    config: json(blob(manifest.config)),
    layers: (manifest.layers ?? []).map((layer) => members.get(blob(layer))!),
  }
}

/** Files of a tar by path. */
export function membersOf(bytes: Uint8Array): Map<string, Uint8Array> {
  const out = new Map<string, Uint8Array>()
  for (const { kind, path, dataOffset, size } of scanTar(readerOf(bytes))) {
    if (kind === 'file') out.set(path, bytes.subarray(dataOffset, dataOffset + size))
  }
  return out
}
