// A real BuildKit by way of `docker buildx`: what it exports as a cache, and what it did with each step. Only for recording
// and for searching; the tests read what was recorded.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { imagesOf, type Project } from './cache-projects.js'

/** A step as BuildKit tells about it; names and what came of it. */
export interface LiveStep {
  readonly name: string
  readonly cached: boolean
  /** It ended; false for one that was planned only. */
  readonly done: boolean
  /** It takes nothing from any other step: BuildKit calls none of these cached before it needs the result. */
  readonly isRoot: boolean
}

export interface LiveBuild {
  readonly ok: boolean
  readonly steps: readonly LiveStep[]
  readonly error: string
}

export interface LiveOptions {
  readonly folder: string
  readonly bases: string
  /** Further arguments of `docker buildx build`. */
  readonly more?: readonly string[]
  /** Host and port of what `serve` answers. */
  readonly server?: string
}

export function docker(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    execFile('docker', args, { maxBuffer: 1 << 28 }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : ((error.code as unknown as number) ?? 1), stdout, stderr }),
    )
  })
}

export async function pruneLive(): Promise<void> {
  const { code, stderr } = await docker(['buildx', 'prune', '-af'])
  if (code !== 0) throw new Error(`docker buildx prune: ${stderr}`)
}

export async function buildLive(project: Project, options: LiveOptions): Promise<LiveBuild> {
  const { folder, bases } = options
  const dockerfile = `${folder}.Dockerfile`
  writeFileSync(dockerfile, withServer(project.dockerfile, options.server))
  const { code, stderr } = await docker([
    'buildx',
    'build',
    '--progress=rawjson',
    '--provenance=false',
    ...(options.more?.some((it) => it.startsWith('--output')) ? [] : ['--output=type=cacheonly']),
    '-f',
    dockerfile,
    ...argumentsOf(project, folder, bases),
    ...(options.more ?? []),
    folder,
  ])
  return { ok: code === 0, steps: stepsOf(stderr), error: code === 0 ? '' : stderr.slice(-600) }
}

/** `http://SERVER/` stands for the server's address, which is no part of any key. */
export function withServer(dockerfile: string, server: string | undefined): string {
  return server === undefined ? dockerfile : dockerfile.replaceAll('http://SERVER/', `http://${server}/`)
}

function argumentsOf(project: Project, folder: string, bases: string): string[] {
  const out: string[] = []
  for (const [name, value] of Object.entries(project.args ?? {})) out.push('--build-arg', `${name}=${value}`)
  for (const [name, value] of Object.entries(project.labels ?? {})) out.push('--label', `${name}=${value}`)
  if (project.target !== undefined) out.push('--target', project.target)
  if (project.platform !== undefined) out.push('--platform', project.platform)
  if (project.network !== undefined) out.push('--network', project.network)
  if (project.noCache === true) out.push('--no-cache')
  for (const stage of project.noCacheFilter ?? []) out.push('--no-cache-filter', stage)
  for (const host of project.addHosts ?? []) out.push('--add-host', host)
  for (const name of Object.keys(project.contexts ?? {}))
    out.push('--build-context', `${name}=${folder}.${name}`)
  for (const [name, image] of Object.entries(imagesOf(project)))
    out.push('--build-context', `${name}=oci-layout://${bases}:${image}`)
  for (const [id, value] of Object.entries(project.secrets ?? {})) {
    writeFileSync(`${folder}.secret-${id}`, value)
    out.push('--secret', `id=${id},src=${folder}.secret-${id}`)
  }
  if (/security=insecure/.test(project.dockerfile)) out.push('--allow', 'security.insecure')
  if (/network=host/.test(project.dockerfile) || project.network === 'host')
    out.push('--allow', 'network.host')
  return out
}

interface RawVertex {
  readonly digest: string
  readonly name: string
  readonly inputs?: readonly string[]
  readonly cached?: boolean
  readonly completed?: string
  readonly error?: string
}

function stepsOf(raw: string): LiveStep[] {
  const steps = new Map<string, { name: string; cached: boolean; done: boolean; isRoot: boolean }>()
  for (const line of raw.split('\n')) {
    if (!line.startsWith('{')) continue
    for (const vertex of (JSON.parse(line) as { vertexes?: RawVertex[] }).vertexes ?? []) {
      const step = steps.get(vertex.digest) ?? { name: vertex.name, cached: false, done: false, isRoot: true }
      if ((vertex.inputs ?? []).length > 0) step.isRoot = false
      if (vertex.cached === true) step.cached = true
      if (vertex.completed !== undefined && !vertex.error) step.done = true
      steps.set(vertex.digest, step)
    }
  }
  return [...steps.values()]
}

/** Steps of the Dockerfile itself: no definition, ignore file, metadata, context or export. */
export function isStep(name: string): boolean {
  return !/^(\[internal\] |\[context |exporting |importing |merging |preparing |writing |resolve |\[auth\])/.test(
    name,
  )
}

/** Document and manifest of a cache that BuildKit wrote into a folder. */
export function readCacheFolder(folder: string): { readonly config: unknown; readonly manifest: unknown } {
  const json = (path: string): unknown => JSON.parse(readFileSync(join(folder, path), 'utf8'))
  const blob = (digest: string): unknown => json(`blobs/sha256/${digest.slice(7)}`)
  const { manifests } = json('index.json') as {
    manifests: { digest: string; annotations: Record<string, string> }[]
  }
  const latest = manifests.find(
    ({ annotations }) => annotations['org.opencontainers.image.ref.name'] === 'latest',
  )!
  const manifest = blob(latest.digest) as { config: { digest: string } }
  return { manifest, config: blob(manifest.config.digest) }
}

/** A server on the loopback for ADD. */
export async function serve(project: () => Project): Promise<{ readonly address: string; close(): void }> {
  const server: Server = createServer((request, response) => {
    const entry = project().served?.[(request.url ?? '/').slice(1)]
    if (entry === undefined) response.writeHead(404).end()
    else {
      if (entry.lastModified !== undefined) response.setHeader('last-modified', entry.lastModified)
      response.end(entry.body)
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => void server.close() }
}
