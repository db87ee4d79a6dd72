// Projects that BuildKit and lamella both build: a context on disk, a Dockerfile, and a base image whose shell is a program
// of a few hundred bytes (recorded/cache-sh.c), so that RUN has an effect that follows from its text on either side.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { build, type BuildOptions, type BuildResult, type Executor } from '../../src/builder/index.js'
import type { Env } from '../../src/env.js'
import { createMemoryStore, type Store } from '../../src/store/index.js'

/**
 * Entries of a folder by path, a directory's ends in `/`. The value is words in any order: octal mode, `->target`, `@time`
 * (mtime in seconds), `fifo`, `same=PATH`; last `=content`. Missing parents are 0755.
 */
export type Files = Readonly<Record<string, string>>

export interface Project {
  readonly dockerfile: string
  readonly files?: Files
  readonly args?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly target?: string
  readonly platform?: string
  readonly network?: 'default' | 'none' | 'host'
  readonly noCache?: boolean
  readonly noCacheFilter?: readonly string[]
  readonly secrets?: Readonly<Record<string, string>>
  readonly addHosts?: readonly string[]
  /** Named contexts that are folders. */
  readonly contexts?: Readonly<Record<string, Files>>
  /** Named contexts that are images: `base`, `onbuild`, …, of BASES. */
  readonly images?: Readonly<Record<string, string>>
  /** What `http://SERVER/NAME` answers: body, and its Last-Modified. */
  readonly served?: Readonly<Record<string, { readonly body: string; readonly lastModified?: string }>>
}

const TIME = 1_600_000_000

export function writeFiles(folder: string, files: Files): void {
  mkdirSync(folder, { recursive: true })
  const times: (() => void)[] = []
  for (const [path, text] of Object.entries(files)) {
    const at = join(folder, path)
    mkdirSync(dirname(at), { recursive: true })
    const content = /(?:^| )=([^]*)$/.exec(text)
    const words = (content === null ? text : text.slice(0, content.index))
      .split(' ')
      .filter((it) => it !== '')
    const target = words.find((it) => it.startsWith('->'))?.slice(2)
    const mode = words.find((it) => /^\d+$/.test(it))
    const seconds = Number(words.find((it) => it.startsWith('@'))?.slice(1) ?? TIME)
    const same = words.find((it) => it.startsWith('same='))?.slice(5)
    if (target !== undefined) {
      symlinkSync(target, at)
      times.push(() => lutimesSync(at, seconds, seconds))
      continue
    }
    if (same !== undefined) {
      execFileSync('ln', [join(folder, same), at])
      continue
    }
    if (path.endsWith('/')) mkdirSync(at, { recursive: true })
    else if (words.includes('fifo')) execFileSync('mkfifo', [at])
    else writeFileSync(at, content?.[1] ?? '')
    chmodSync(at, Number.parseInt(mode ?? (path.endsWith('/') ? '755' : '644'), 8))
    times.push(() => utimesSync(at, seconds, seconds))
  }
  for (const set of times.reverse()) set()
}

// ---- base images ----

/**
 * Images that Dockerfiles here start from, kept as the bytes that BuildKit saw: their digests are in its keys. All have the
 * shell, and what a container runtime would make in a root that lacks it (/dev, /proc, /etc/hosts, …).
 *
 * - `base`: PATH, users `u` and `g`, /data/a and /data/b; `base2`: one more variable, another /data
 * - `plain`: no configuration; `settled`: a working directory and a user; `onbuild`: two triggers; `arm`: linux/arm64
 */
const BASES = ['base', 'base2', 'plain', 'settled', 'onbuild', 'arm'] as const

/** Writes the base images as an OCI layout. */
export function writeBases(folder: string): void {
  const { blobs, ...index } = JSON.parse(
    readFileSync(new URL('recorded/cache-bases.json', import.meta.url), 'utf8'),
  ) as { readonly 'index.json': unknown; readonly blobs: Readonly<Record<string, string>> }
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(join(folder, 'index.json'), JSON.stringify(index['index.json']))
  for (const [name, bytes] of Object.entries(blobs))
    writeFileSync(join(folder, 'blobs/sha256', name), gunzipSync(Buffer.from(bytes, 'base64')))
}

/** What recorded/cache-sh.c does. */
export const shellExecutor: Executor = {
  name: 'cache-sh',
  capabilities: {
    mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'],
    networks: ['default', 'none', 'host'],
    binaries: true,
  },
  async run({ view, argv, cwd, user }) {
    const [, , text = ''] = argv
    const at = (path: string): string => (path.startsWith('/') ? path : `${cwd.replace(/\/$/, '')}/${path}`)
    if (text.startsWith('fail')) return { exitCode: 7 }
    const [verb, path = '', ...rest] = text.split(' ')
    if (verb !== 'write' && verb !== 'cp') return { exitCode: 0 }
    if (user !== '' && user !== 'root' && !user.startsWith('0')) return { exitCode: verb === 'cp' ? 5 : 3 }
    try {
      if (verb === 'write') view.fs.writeFileSync(at(path), rest.join(' '))
      else view.fs.writeFileSync(at(rest.join(' ')), view.fs.readFileSync(at(path)))
    } catch {
      return { exitCode: verb === 'write' ? 3 : 4 }
    }
    return { exitCode: 0 }
  },
}

// ---- lamella's side ----

export interface OwnBuild {
  readonly store?: Store
  /** Folder of the context, written already. */
  readonly folder: string
  /** Folder of the base images. */
  readonly bases: string
  readonly env?: Env
  readonly more?: Partial<BuildOptions>
}

export async function buildOwn(project: Project, own: OwnBuild): Promise<BuildResult> {
  return build({ ...optionsOf(project, own), store: own.store ?? createMemoryStore() })
}

/** The build options of a project whose contexts lie where `writeProject` puts them. */
export function optionsOf(project: Project, own: OwnBuild): Omit<BuildOptions, 'store'> {
  const { folder, bases } = own
  const [os = '', architecture = '', variant] = (project.platform ?? '').split('/')
  const contexts: Record<string, string> = {}
  for (const name of Object.keys(project.contexts ?? {})) contexts[name] = `${folder}.${name}`
  for (const [name, image] of Object.entries(imagesOf(project)))
    contexts[name] = `oci-layout://${bases}:${image}`
  return {
    context: folder,
    dockerfile: { text: project.dockerfile, name: 'Dockerfile' },
    executor: shellExecutor,
    contexts,
    // As BuildKit's outputs have it: without a word on it, lamella gives copied files the time of SOURCE_DATE_EPOCH.
    rewriteTimestamp: false,
    ...(project.args && { buildArgs: project.args }),
    ...(project.labels && { labels: project.labels }),
    ...(project.target && { target: project.target }),
    ...(project.platform && { platform: { os, architecture, ...(variant !== undefined && { variant }) } }),
    ...(project.network && { network: project.network }),
    ...(project.noCache && { noCache: true }),
    ...(project.noCacheFilter && { noCacheFilter: project.noCacheFilter }),
    ...(project.secrets && { secrets: project.secrets }),
    ...(project.addHosts && { extraHosts: project.addHosts }),
    ...(own.env && { env: own.env }),
    fetch: async (url) => {
      const entry = project.served?.[new URL(String(url)).pathname.slice(1)]
      if (entry === undefined) return new Response('', { status: 404 })
      const { body, lastModified } = entry
      return new Response(body, {
        headers: lastModified === undefined ? {} : { 'last-modified': lastModified },
      })
    },
    ...own.more,
  }
}

/** Every base that a Dockerfile can name is given, unless the project says otherwise. */
export function imagesOf({ images, dockerfile }: Project): Readonly<Record<string, string>> {
  if (images !== undefined) return images
  const used = BASES.filter((name) => new RegExp(`\\b${name}\\b`).test(dockerfile))
  return Object.fromEntries(used.map((name) => [name, name]))
}

/** Writes the context as `folder` and named ones beside it as `folder.NAME`. */
export function writeProject(project: Project, folder: string): void {
  writeFiles(folder, project.files ?? {})
  for (const [name, files] of Object.entries(project.contexts ?? {})) writeFiles(`${folder}.${name}`, files)
}
