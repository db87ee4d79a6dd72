// The unionfs room in a browser: bundled without any of Node's modules but those that memfs itself imports, and run in a
// realm that has neither `process`, `require` nor `Buffer`.
import { build, type Plugin } from 'esbuild'
import * as buffer from 'node:buffer'
import * as events from 'node:events'
import { builtinModules } from 'node:module'
import * as path from 'node:path'
import * as stream from 'node:stream'
import { fileURLToPath } from 'node:url'
import * as url from 'node:url'
import * as util from 'node:util'
import vm from 'node:vm'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** What a page has to bring for memfs: polyfills that are on npm under the same names. */
const POLYFILLS: Readonly<Record<string, unknown>> = { buffer, events, path, stream, url, util }

interface Bundle {
  readonly code: string
  /** Modules of Node that the bundle asks for. */
  readonly builtins: readonly string[]
  /** Those that memfs's own packages ask for. */
  readonly ofMemfs: ReadonlySet<string>
}

async function bundleForBrowser(program: string): Promise<Bundle> {
  const ofMemfs = new Set<string>()
  const builtin = new Set(builtinModules)
  const note: Plugin = {
    name: 'builtins',
    setup(context) {
      context.onResolve({ filter: /^(node:)?[a-z/_]+$/ }, ({ path: name, importer }) => {
        const plain = name.replace(/^node:/, '')
        if (!builtin.has(plain)) return undefined
        if (importer.slice(root.length).startsWith('node_modules/')) ofMemfs.add(plain)
        return { path: plain, external: true }
      })
      context.onResolve({ filter: /^#(platform|unionfs-host)$/ }, ({ path: name }) => ({
        path: `${root}src/${name === '#platform' ? 'platform/browser.ts' : 'unionfs/host-browser.ts'}`,
      }))
    },
  }
  const { outputFiles, metafile } = await build({
    stdin: { contents: program, resolveDir: `${root}src/unionfs`, loader: 'ts' },
    bundle: true,
    write: false,
    metafile: true,
    logLevel: 'error',
    format: 'iife',
    globalName: 'bundle',
    platform: 'browser',
    plugins: [note],
  })
  // What the disk side of the store imports is shaken off; only what stays in the bundle counts.
  const builtins = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map((one) => one.path))
  return { code: outputFiles[0]!.text, builtins: [...new Set(builtins)].sort(), ofMemfs }
}

const PROGRAM = `
  import { EMPTY_TREE, UnionView, encodeLayer, readLayer, applyChangeset } from './index.js'

  export function run() {
    const view = new UnionView(EMPTY_TREE)
    view.fs.mkdirSync('/a/b', { recursive: true })
    view.fs.writeFileSync('/a/b/f', 'text')
    view.fs.symlinkSync('b', '/a/l')
    const fork = view.fork()
    fork.fs.appendFileSync('/a/l/f', ' more')
    const bytes = [...encodeLayer(fork.diff())].flatMap((chunk) => [...chunk])
    const again = new UnionView(applyChangeset(EMPTY_TREE, readLayer(Uint8Array.from(bytes))))
    let message
    try { view.fs.statSync('/nope') } catch (error) { message = error.message }
    return [
      view.fs.readFileSync('/a/b/f', 'utf8'),
      again.fs.readFileSync('/a/l/f', 'utf8'),
      fork.changes().map(({ kind, path }) => kind + ' ' + path).join(),
      message,
    ].join('\\n')
  }

  export async function later() {
    const view = new UnionView(EMPTY_TREE)
    await view.fs.promises.writeFile('/f', 'one\\ntwo')
    const lines = []
    const handle = await view.fs.promises.open('/f')
    for await (const line of handle.readLines()) lines.push(line)
    const called = await new Promise((resolve) => view.fs.readFile('/f', 'utf8', (_, text) => resolve(text)))
    return [...lines, called].join()
  }
`

describe('in a browser', () => {
  test('no module of Node but what memfs imports itself', async () => {
    const { builtins, ofMemfs } = await bundleForBrowser(PROGRAM)
    expect(builtins).toContain('stream')
    expect(builtins.filter((name) => !ofMemfs.has(name))).toEqual([])
  })

  test('runs', async () => {
    const { code } = await bundleForBrowser(PROGRAM)
    const require = (name: string) => {
      const known = POLYFILLS[name.replace(/^node:/, '')]
      if (known === undefined) throw new Error(`no ${name} in a browser`)
      return known
    }
    const realm = vm.createContext({
      MessageChannel,
      TextEncoder,
      TextDecoder,
      URL,
      setTimeout,
      clearTimeout,
      queueMicrotask,
      AbortSignal,
      AbortController,
      require,
    })
    vm.runInContext(`${code}; this.bundle = bundle`, realm)
    const { run, later } = (realm as { bundle: { run(): string; later(): Promise<string> } }).bundle
    expect(run().split('\n')).toEqual([
      'text',
      'text more',
      'C /,A /a,A /a/b,A /a/b/f,A /a/l',
      `ENOENT: no such file or directory, stat '/nope'`,
    ])
    expect(await later()).toBe('one,two,one\ntwo')
    expect(vm.runInContext('typeof process + typeof Buffer', realm)).toBe('undefinedundefined')
  })
})
