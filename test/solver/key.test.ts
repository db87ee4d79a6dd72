// The digests of keys, held against what a real BuildKit wrote down.
import { describe, expect, test } from 'vitest'
import { chainIDs, type DiffID, type Digest } from '../../src/digest.js'
import { checksumTree } from '../../src/builder/contenthash.js'
import { goJson } from '../../src/builder/go-json.js'
import {
  contentKey,
  CONTENT_OUTPUT,
  execOpDigest,
  fileOpDigest,
  fileSelector,
  httpSourceKey,
  imageChainKey,
  imageManifestKey,
  mergeOpDigest,
  mountSelector,
  recordId,
  sourceDigest,
  type CopyAction,
  type ExecMountSpec,
  type ExecSpec,
} from '../../src/builder/key.js'
import vectors from './data/buildkit-keys.json' with { type: 'json' }
import { treeOf, type TreeSpec } from './fixtures.js'

const tree = treeOf(vectors.tree as unknown as TreeSpec)

const copy = (src: string, dest: string, extra: Partial<CopyAction> = {}): CopyAction => ({
  kind: 'copy',
  src,
  dest,
  mode: -1,
  followSymlink: true,
  dirCopyContents: true,
  attemptUnpack: false,
  createDestPath: true,
  allowWildcard: true,
  allowEmptyWildcard: true,
  alwaysReplaceExistingDestPaths: false,
  timestampNs: -1n,
  ...extra,
})

/** A copy on scratch has only the source as input; any other has it second. */
const onScratch = (action: CopyAction) =>
  fileOpDigest([{ action, input: -1, secondaryInput: 0, output: 0 }], 1)
const onStage = (action: CopyAction) => fileOpDigest([{ action, input: 0, secondaryInput: 1, output: 0 }], 2)

const content = (of: typeof tree, path: string, options: { exclude?: string[] } = {}) =>
  recordId(
    contentKey([checksumTree(of, path, { wildcard: true, followLinks: true, ...options })]),
    CONTENT_OUTPUT,
  )

const ROOT: ExecMountSpec = { type: 'bind', input: 0, dest: '/', output: 0, readonly: false }

const exec = (command: string, extra: Partial<ExecSpec> = {}) =>
  execOpDigest({
    args: ['/bin/sh', '-c', command],
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    cwd: '/',
    mounts: [ROOT],
    network: 'none',
    security: 'sandbox',
    platform: { os: 'linux', architecture: 'amd64' },
    ...extra,
  })

const bind: ExecMountSpec = { type: 'bind', input: 1, dest: '/m', output: -1, readonly: true, selector: '/d' }
const cache = (id: string): ExecMountSpec => ({
  type: 'cache',
  input: -1,
  dest: '/m',
  output: -1,
  readonly: false,
  cache: { id, sharing: 'shared' },
})

const excluded = treeOf(vectors.rows[5]!.tree as unknown as TreeSpec)
const manifest = vectors.rows[10]!.manifest as Digest
const diffIDs = vectors.rows[11]!.diffIDs as string[] as DiffID[]

describe('all 13 vectors of a real BuildKit', () => {
  const computed: readonly Digest[] = [
    content(tree, '/f1'),
    recordId(onScratch(copy('/f1', '/o/')), 0),
    content(tree, '/d'),
    recordId(onStage(copy('/d', '/p/')), 0),
    content(tree, '/f*'),
    content(excluded, '/d', { exclude: ['a'] }),
    recordId(onScratch(copy('/f1', '/o/', { owner: { user: { id: 5 }, group: { id: 6 } }, mode: 0o640 })), 0),
    recordId(exec('echo hi'), 0),
    recordId(exec('true', { mounts: [ROOT, bind] }), 0),
    recordId(exec('true', { mounts: [ROOT, cache('//m')] }), 0),
    recordId(sourceDigest(imageManifestKey(manifest, { os: 'linux', architecture: 'amd64' })), 0),
    recordId(sourceDigest(imageChainKey(chainIDs(diffIDs))!), 0),
    mountSelector(['/']),
  ]
  test('there are as many as the file has', () => expect(computed).toHaveLength(vectors.rows.length))
  test.each(vectors.rows.map((row, i) => ({ what: row.what, want: row.want, got: computed[i] })))(
    '$what',
    ({ got, want }) => expect(got).toBe(want),
  )
})

describe('what takes no part in a key (facts 2.2, 2.3)', () => {
  const mounted = (mount: ExecMountSpec) => exec('true', { mounts: [ROOT, mount] })
  test.each([
    ['folder of a copied file', onStage(copy('/a/f', '/o')), onStage(copy('/b/f', '/o'))],
    ['source of a bind mount', mounted(bind), mounted({ ...bind, selector: '/elsewhere' })],
    ['id of a cache mount that is not the default', mounted(cache('/a')), mounted(cache('/b'))],
  ])('%s', (_, a, b) => expect(a).toBe(b))
})

describe('what takes part in a key', () => {
  const plain = onStage(copy('/f', '/o'))
  test.each([
    ['base name', onStage(copy('/g', '/o'))],
    ['destination', onStage(copy('/f', '/o/'))],
    ['octal mode', onStage(copy('/f', '/o', { mode: 0o644 }))],
    ['symbolic mode', onStage(copy('/f', '/o', { modeStr: 'u+x' }))],
    ['owner 0', onStage(copy('/f', '/o', { owner: { user: { id: 0 }, group: { id: 0 } } }))],
    ['owner by name', onStage(copy('/f', '/o', { owner: { user: { name: 'root', input: 0 } } }))],
    ['exclude patterns', onStage(copy('/f', '/o', { excludePatterns: ['x'] }))],
    ['include patterns', onStage(copy('/f', '/o', { includePatterns: ['x'] }))],
    ['SOURCE_DATE_EPOCH', onStage(copy('/f', '/o', { timestampNs: 1_700_000_000_000_000_000n }))],
  ])('%s of a copy', (_, other) => expect(other).not.toBe(plain))

  const run = exec('true')
  test.each([
    ['order of variables', exec('true', { env: ['B=1', 'A=1'] })],
    ['user', exec('true', { user: 'app' })],
    ['directory', exec('true', { cwd: '/src' })],
    ['network', exec('true', { network: 'default' })],
    [
      'architecture variant',
      exec('true', { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }),
    ],
    ['a cache mount', exec('true', { mounts: [ROOT, cache('//m')] })],
    [
      'sharing of a cache',
      exec('true', { mounts: [ROOT, { ...cache('//m'), cache: { id: '//m', sharing: 'locked' } }] }),
    ],
    [
      'size of a tmpfs',
      exec('true', {
        mounts: [ROOT, { type: 'tmpfs', input: -1, dest: '/m', output: -1, readonly: false, tmpfsSize: 64 }],
      }),
    ],
  ])('%s of a RUN', (_, other) => expect(other).not.toBe(run))
})

test('beside a symbolic mode the octal one is not written', () => {
  const symbolic = (mode: number) => onStage(copy('/f', '/o', { modeStr: 'u+x', mode }))
  expect(symbolic(-1)).toBe(symbolic(0))
})

test('a timestamp that is no whole number of seconds is refused, because JSON could not hold it', () => {
  expect(() => onStage(copy('/f', '/o', { timestampNs: 1_700_000_000_000_000_001n }))).toThrow(RangeError)
})

test('indexes are left out for the plain chain only', () => {
  const action = copy('/f', '/o')
  const placed = { action, input: 0, secondaryInput: 1, output: 0 }
  expect(fileOpDigest([placed], 2)).not.toBe(fileOpDigest([{ ...placed, secondaryInput: 2 }], 3))
})

test('selectors of a file operation are joined in descending order, whatever order they came in', () => {
  expect(fileSelector(['/b', '/a'])).toBe(fileSelector(['/a', '/b']))
  expect(fileSelector(['/b', '/a'])).toBe(mountSelector(['/b', '/a']))
})

test('a merge counts its inputs', () => expect(mergeOpDigest(2)).not.toBe(mergeOpDigest(3)))

test('an http source has the time of its file only when the server gave one', () => {
  const spec = { filename: 'f', perm: 0o600, uid: 0, gid: 0, checksum: manifest }
  expect(httpSourceKey(spec)).not.toBe(
    httpSourceKey({ ...spec, lastModified: 'Mon, 02 Jan 2006 15:04:05 GMT' }),
  )
})

// encoding/json: HTML characters and line separators escaped, bytes that are not UTF-8 replaced.
test.each([
  ['<a href="x">&', String.raw`"\u003ca href=\"x\"\u003e\u0026"`],
  ['\u2028\u2029', String.raw`"\u2028\u2029"`],
  ['a\b\f\n\r\t\u0001\u007f', '"a\\b\\f\\n\\r\\t\\u0001\u007f"'],
  ['raw \udcff byte', String.raw`"raw \ufffd byte"`],
  [String.raw`\udcff spelled out`, String.raw`"\\udcff spelled out"`],
  ['😀', '"😀"'],
])('Go writes %j as %s', (value, want) => expect(goJson(value)).toBe(want))
