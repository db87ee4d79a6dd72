// The rooms and the direction in which they may see each other (docs/architecture.md). Reads the imports of src/ and
// names every arrow that runs back.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const src = join(root, 'src')

/** Room → the rooms that it may import. Leaves and platform are open to all. */
const MAY_SEE: Readonly<Record<string, readonly string[]>> = {
  leaves: ['platform'],
  platform: [],
  store: [],
  unionfs: ['store'],
  oci: ['store'],
  builder: ['store', 'unionfs', 'oci'],
  containers: ['store', 'unionfs', 'oci', 'builder'],
  testing: ['store', 'unionfs', 'oci', 'builder'],
  index: ['store', 'unionfs', 'oci', 'builder'],
  cli: [],
}

/** Rooms whose files must run in a browser: `node:` only in the files listed, each an effect by its nature. */
const PURE_ROOMS = new Set(['leaves', 'unionfs', 'builder', 'oci', 'store', 'containers'])
const EFFECT_FILES: readonly RegExp[] = [
  /^platform\/node\.ts$/,
  /^store\/(?:disk|compress|zstd|lmdb|lock|node-fs|owner)[\w-]*\.ts$/,
  /^unionfs\/host-[\w-]+\.ts$/,
  /^builder\/(?:context|host-[\w-]+|build-files|cache-files|outputs)\.ts$/,
  /^builder\/executors\//,
  /^builder\/ops\/(?:http|archive|host)[\w-]*\.ts$/,
  /^containers\/host-[\w-]+\.ts$/,
  /^cli\//,
  /^testing\//,
]

interface Import {
  readonly from: string
  readonly to: string
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))

function importsOf(file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8')
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g,
  )
  return [...found].map((match) => ({ from: file, to: (match[1] ?? match[2])! }))
}

function roomOf(file: string): string {
  const [first, ...rest] = file.split('/')
  if (rest.length > 0) return first!
  return file === 'index.ts' ? 'index' : 'leaves'
}

function target({ from, to }: Import): string {
  return relative(src, resolve(dirname(join(src, from)), to)).replace(/\.js$/, '.ts')
}

const imports = files.flatMap(importsOf)
const internal = imports.filter(({ to }) => to.startsWith('.'))

describe('architecture', () => {
  test('the sources are read', () => {
    expect(files.length).toBeGreaterThan(20)
    expect(internal.length).toBeGreaterThan(40)
  })

  test('no arrow runs back', () => {
    const wrong = internal.filter((entry) => {
      const from = roomOf(entry.from)
      const to = roomOf(target(entry))
      return from !== to && to !== 'leaves' && to !== 'platform' && !MAY_SEE[from]?.includes(to)
    })
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test('a room imports another room through its index.ts', () => {
    const wrong = internal.filter((entry) => {
      const to = target(entry)
      const room = roomOf(to)
      return (
        room !== roomOf(entry.from) && !['leaves', 'platform'].includes(room) && to !== `${room}/index.ts`
      )
    })
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test('leaves see only leaves and the platform', () => {
    const wrong = internal.filter(
      (entry) => roomOf(entry.from) === 'leaves' && roomOf(target(entry)) !== 'leaves',
    )
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test('node: appears only in effect files', () => {
    const wrong = imports.filter(
      ({ from, to }) =>
        to.startsWith('node:') &&
        PURE_ROOMS.has(roomOf(from)) &&
        !EFFECT_FILES.some((file) => file.test(from)),
    )
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test('what only Node has is nothing in a page: package.json says so for each module', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      browser: Record<string, false>
    }
    const used = imports.filter(({ from, to }) => to.startsWith('node:') && PURE_ROOMS.has(roomOf(from)))
    // A bundler finds the package `buffer` for it, which memfs needs as well.
    const wrong = used.filter(({ to }) => to !== 'node:buffer' && manifest.browser[to] !== false)
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test('the cli and the benches see only what package.json exports', () => {
    const wrong = internal.filter(
      ({ from, to }) => roomOf(from) === 'cli' && target({ from, to }).split('/')[0] !== 'cli',
    )
    const benches = readdirSync(join(root, 'bench'), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(?:mjs|ts)$/.test(file))
      .filter((file) =>
        /from\s+['"](?:\.\.\/)+(?:src|dist)\//.test(readFileSync(join(root, 'bench', file), 'utf8')),
      )
    expect([...wrong.map(({ from, to }) => `${from} → ${to}`), ...benches]).toEqual([])
  })

  test('heavy packages are not imported at start-up', () => {
    const heavy = new Set(['memfs', 'fast-glob', 'lmdb', 'tar-stream', 'just-bash', 'xxhash-wasm'])
    // A browser has no way to load memfs later and synchronously, so its host module brings it along.
    const eagerOnes = files.filter((file) => file !== 'unionfs/host-browser.ts')
    const wrong = eagerOnes.flatMap((file) => {
      const text = readFileSync(join(src, file), 'utf8')
      const eager = text.matchAll(/(?:^|\n)import\s+(?!type\b)[^'"]*?from\s+['"]([^'"]+)['"]/g)
      return [...eager].filter((match) => heavy.has(match[1]!)).map((match) => `${file} → ${match[1]}`)
    })
    expect(wrong).toEqual([])
  })
})
