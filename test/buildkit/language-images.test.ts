// Configs that instructions leave in an image, and files that ignore rules leave in a context, as in a live BuildKit 0.25. See
// language.test.ts for how this is recorded.
import { describe, expect, test } from 'vitest'
import { parsePlatform } from '../../src/builder/dockerfile/index.js'
import { build } from '../../src/builder/index.js'
import { readImage } from '../../src/oci/index.js'
import { createMemoryStore, readBlob } from '../../src/store/index.js'
import { openTree, type Tree } from '../../src/unionfs/index.js'
import { treeOf } from '../builder/fixtures.js'
import { askContext, buildAll, configOf, type LanguageCase } from './language-oracle.js'
import { readTable, textOf } from './language-table.js'

describe('the config of the image', () => {
  interface Row {
    readonly case: LanguageCase
    readonly config: Record<string, unknown> | null
  }
  const rows = readTable<Row>('configs', (table) => {
    const built = buildAll(table.map((row) => row.case))
    return table.map((row, index) => ({ case: row.case, config: configOf(built[index]!.config) }))
  })

  test.each(rows.map((row, index) => ({ index, ...row })))(
    '$index $case.file',
    async ({ case: it, config }) => {
      const store = createMemoryStore()
      const result = await build({
        store,
        dockerfile: { text: textOf(it), name: 'Dockerfile' },
        buildArgs: it.args,
        target: it.target,
        platform: it.platform === undefined ? undefined : parsePlatform(it.platform),
        buildPlatform: { os: 'linux', architecture: 'amd64' },
      }).then(
        async ({ configDigest }) => {
          const bytes = await readBlob(store.blobs, configDigest)
          return configOf(JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>)
        },
        () => null,
      )
      expect(result).toEqual(config)
    },
  )
})

describe('the context', () => {
  interface Row {
    readonly rules: string
    readonly files: readonly string[]
    /** `COPY . /` of it: paths, directories with a trailing slash; `null` when the build fails. */
    readonly kept: readonly string[] | null
    /** COPY's own rules, where there are any. */
    readonly exclude?: readonly string[]
  }
  const rows = readTable<Row>('contexts', (table) => {
    const kept = askContext(table)
    return table.map((row, index) => ({ ...row, kept: kept[index]! }))
  })

  test('has at least 400 rows', () => expect(rows.length).toBeGreaterThanOrEqual(400))

  test('what .dockerignore and --exclude leave', async () => {
    const wrong = []
    for (const { rules, files, kept, exclude } of rows) {
      const flags = (exclude ?? []).map((pattern) => `--exclude=${pattern} `).join('')
      const context = treeOf({
        ...Object.fromEntries(files.map((path) => [path, '=x'])),
        Dockerfile: `=FROM scratch\nCOPY ${flags}. /\n`,
        '.dockerignore': `=${rules}`,
      })
      const store = createMemoryStore()
      const got = await build({ store, context }).then(
        async ({ image }) => pathsOf(await openTree(store, (await readImage(store.blobs, image)).layers)),
        () => null,
      )
      if (JSON.stringify(got) !== JSON.stringify(kept)) wrong.push({ rules, files, exclude, got, kept })
    }
    expect(wrong.map((it) => JSON.stringify(it)).slice(0, 5)).toEqual([])
  })

  function pathsOf(tree: Tree): string[] {
    const found: string[] = []
    const visit = (path: string): void => {
      const node = tree.lookup(path)!
      for (const name of node.children?.names() ?? []) {
        const at = path === '' ? name : `${path}/${name}`
        const isDirectory = tree.lookup(at)!.kind === 'dir'
        found.push(isDirectory ? `${at}/` : at)
        if (isDirectory) visit(at)
      }
    }
    visit('')
    return found.toSorted()
  }
})
