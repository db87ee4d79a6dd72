// The shape of `view.fs` against the running Node's own fs: every method, and every argument check with its message.
// Node checks arguments before it touches the filesystem, so the same wrong call must fail alike on both.
import nodeFs from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UnionView } from 'lamella/unionfs'

const view = new UnionView()
view.fs.writeFileSync('/f', 'x')
view.fs.mkdirSync('/d')

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lamella-surface-'))
  nodeFs.writeFileSync(join(folder, 'f'), 'x')
  nodeFs.mkdirSync(join(folder, 'd'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Keys that only some versions have, or that are Node's own inner matters. */
const INNER = new Set(['Utf8Stream', 'mkdtempDisposable', 'mkdtempDisposableSync'])

describe('every name of node:fs is there', () => {
  test.each(Object.keys(nodeFs).filter((key) => !INNER.has(key)))('fs.%s', (key) => {
    expect(view.fs).toHaveProperty(key)
    const [ours, theirs] = [view.fs, nodeFs].map((fs) => (fs as unknown as Record<string, unknown>)[key])
    expect(typeof ours).toBe(typeof theirs)
  })

  test.each(Object.keys(nodeFs.promises).filter((key) => !INNER.has(key)))('fs.promises.%s', (key) => {
    expect(view.fs.promises).toHaveProperty(key)
  })

  test('constants are those of Linux', () => {
    if (process.platform === 'linux') expect(view.fs.constants).toEqual(nodeFs.constants)
  })

  test('Stats have the fields of Node, Dates among them', () => {
    const [ours, theirs] = [view.fs.statSync('/f'), nodeFs.statSync(join(folder, 'f'))]
    for (const field of ['atime', 'mtime', 'ctime', 'birthtime'] as const)
      expect(ours[field]).toBeInstanceOf(Date)
    for (const field of Object.keys(theirs)) expect(ours, field).toHaveProperty(field)
    const [bigOurs, bigTheirs] = [
      view.fs.statSync('/f', { bigint: true }),
      nodeFs.statSync(join(folder, 'f'), { bigint: true }),
    ]
    for (const [field, value] of Object.entries(bigTheirs)) {
      expect(typeof (bigOurs as unknown as Record<string, unknown>)[field], field).toBe(typeof value)
    }
  })

  test('FileHandle, streams and Dir have the methods of Node', async () => {
    const methodsOf = (value: object) => {
      const own = Object.getOwnPropertyNames(Object.getPrototypeOf(value) as object)
      return own.filter((name) => !name.startsWith('_') && name !== 'constructor' && !name.startsWith('get'))
    }
    const pairs: [object, object][] = [
      [await view.fs.promises.open('/f'), await nodeFs.promises.open(join(folder, 'f'))],
      [view.fs.opendirSync('/d'), nodeFs.opendirSync(join(folder, 'd'))],
    ]
    for (const [ours, theirs] of pairs) {
      const missing = methodsOf(theirs).filter((name) => !(name in ours) && !INNER_METHODS.has(name))
      expect(missing).toEqual([])
      await (ours as { close(): Promise<void> }).close()
      await (theirs as { close(): Promise<void> }).close()
    }
  })
})

const INNER_METHODS = new Set([
  'getAsyncId',
  'processReadPromise',
  'processHandlerQueue',
  'readImpl',
  'readSyncRecursive',
  'processReadResult',
])

const BAD_PATHS = [
  undefined,
  null,
  5,
  true,
  {},
  [],
  'a\0b',
  Symbol('s'),
  Buffer.from('a\0'),
  new URL('http://h/x'),
]
const BAD_IDS = ['a', 1.5, -2, 2 ** 32, NaN, null]
const BAD_MODES = ['9', -1, 2 ** 32, 1.5, {}, true]
const BAD_OPTIONS = [5, true, { encoding: 'nope' }, 'nope', { signal: {} }]
const BAD_FDS = [undefined, null, 'x', -1, 2 ** 31, 1.5, {}, NaN]
const BAD_TIMES = ['x', {}, NaN, Infinity, null, undefined]

/** method → lists of arguments, all wrong; `F` and `D` stand for a file and a directory that are there, `N` for a free name. */
const WRONG: Readonly<Record<string, readonly (readonly unknown[])[]>> = {
  ...Object.fromEntries(
    [
      'stat',
      'lstat',
      'access',
      'readdir',
      'rmdir',
      'unlink',
      'readlink',
      'readFile',
      'opendir',
      'rm',
      'mkdir',
      'truncate',
      'statfs',
      'open',
      'mkdtemp',
    ].map((name) => [
      name,
      // A descriptor may stand for the path of these.
      BAD_PATHS.filter(
        (path) =>
          !(
            (typeof path === 'number' || typeof path === 'symbol') &&
            (name === 'readFile' || name === 'truncate')
          ),
      ).map((path) => [path]),
    ]),
  ),
  rename: BAD_PATHS.flatMap((path) => [
    [path, 'N'],
    ['F', path],
  ]),
  link: BAD_PATHS.flatMap((path) => [
    [path, 'N'],
    ['F', path],
  ]),
  symlink: BAD_PATHS.flatMap((path) => [
    [path, 'N'],
    ['F', path],
  ]),
  copyFile: [
    ...BAD_PATHS.flatMap((path) => [
      [path, 'N'],
      ['F', path],
    ]),
    ['F', 'N', 8],
    ['F', 'N', 'a'],
    ['F', 'N', -1],
  ],
  cp: [
    ...[undefined, 5].flatMap((path) => [
      [path, 'N'],
      ['F', path],
    ]),
    ['F', 'N', 5],
    ['F', 'N', { recursive: 1 }],
    ['F', 'N', { force: 'a' }],
    ['F', 'N', { filter: 5 }],
    ['F', 'N', { dereference: true, verbatimSymlinks: true }],
  ],
  chmod: [...BAD_PATHS.map((path) => [path, 0o644]), ...BAD_MODES.map((mode) => ['F', mode])],
  chown: [
    ...BAD_PATHS.map((path) => [path, 0, 0]),
    ...BAD_IDS.flatMap((id) => [
      ['F', id, 0],
      ['F', 0, id],
    ]),
  ],
  lchown: BAD_IDS.flatMap((id) => [
    ['F', id, 0],
    ['F', 0, id],
  ]),
  utimes: [
    ...BAD_PATHS.map((path) => [path, 0, 0]),
    ...BAD_TIMES.flatMap((time) => [
      ['F', time, 0],
      ['F', 0, time],
    ]),
  ],
  lutimes: BAD_TIMES.map((time) => ['F', time, 0]),
  writeFile: [
    ['F', 5],
    ['F', {}],
    ['F', null],
    ['F', undefined],
    ...BAD_OPTIONS.map((options) => ['F', 'x', options]),
    ['F', 'x', { mode: '9' }],
    ['F', 'x', { flag: 'zz' }],
  ],
  appendFile: [['F', 5], ['F', {}], ...BAD_OPTIONS.map((options) => ['F', 'x', options])],
}
const WRONG_SYNC: typeof WRONG = {
  open: [
    ['F', 'zz'],
    ['F', 'r', '9'],
    ['F', {}],
    ['F', 'r', -1],
  ],
  access: [
    ['F', 8],
    ['F', -1],
  ],
  mkdir: [
    ...BAD_MODES.filter((mode) => typeof mode === 'number' || mode === '9').map((mode) => ['N', mode]),
    ['N', { recursive: 1 }],
    ['N', { mode: '9' }],
  ],
  readFile: [...BAD_OPTIONS.slice(0, 4).map((options) => ['F', options]), ['F', { flag: 'zz' }]],
  readdir: [...BAD_OPTIONS.slice(0, 4).map((options) => ['D', options]), ['D', { recursive: 1 }]],
  readlink: BAD_OPTIONS.slice(0, 4).map((options) => ['F', options]),
  rm: [
    ['F', 5],
    ['F', { recursive: 1 }],
    ['F', { force: 'x' }],
  ],
  rmdir: [['D', { recursive: 1 }]],
  close: BAD_FDS.map((fd) => [fd]),
  fstat: BAD_FDS.map((fd) => [fd]),
  fsync: BAD_FDS.map((fd) => [fd]),
  ftruncate: [...BAD_FDS.map((fd) => [fd]), [9999, 'x'], [9999, 1.5]],
  fchmod: [...BAD_FDS.map((fd) => [fd, 0]), ...BAD_MODES.map((mode) => [9999, mode])],
  fchown: [...BAD_FDS.map((fd) => [fd, 0, 0]), ...BAD_IDS.map((id) => [9999, id, 0])],
  futimes: [...BAD_FDS.map((fd) => [fd, 0, 0]), ...BAD_TIMES.map((time) => [9999, time, 0])],
  read: [
    ...BAD_FDS.map((fd) => [fd, Buffer.alloc(1)]),
    [9999, 'x'],
    [9999, undefined],
    [9999, Buffer.alloc(2), 3, 1],
    [9999, Buffer.alloc(2), 0, 5],
    [9999, Buffer.alloc(2), -1, 1],
    [9999, Buffer.alloc(2), 1.5, 1],
    [9999, Buffer.alloc(2), 0, 1, 'x'],
    [9999, Buffer.alloc(0), 0, 1],
    [9999, Buffer.alloc(2), 0, 1, -5],
  ],
  write: [
    ...BAD_FDS.map((fd) => [fd, 'x']),
    [9999, 5],
    [9999, {}],
    [9999, Buffer.alloc(2), 3],
    [9999, Buffer.alloc(2), 0, 5],
    [9999, Buffer.alloc(2), 0, -1],
    [9999, Buffer.alloc(2), 1.5],
  ],
  readv: [
    [9999, 'x'],
    [9999, [5]],
    ['x', []],
  ],
  writev: [
    [9999, 'x'],
    [9999, [5]],
    ['x', []],
  ],
  truncate: [['F', 'x']],
}

interface Failure {
  readonly name: string
  readonly code: unknown
  readonly message: string
}

function failureOf(call: () => unknown): Failure | 'none' {
  try {
    call()
    return 'none'
  } catch (error) {
    const { name, code, message } = error as Error & { code?: unknown }
    return { name, code, message }
  }
}

function place(args: readonly unknown[], root: string): unknown[] {
  return args.map((arg) =>
    arg === 'F' ? `${root}f` : arg === 'D' ? `${root}d` : arg === 'N' ? `${root}new` : arg,
  )
}

type Methods = Record<string, (...args: unknown[]) => unknown>

/** As inspect shows it; symbols would not go into a name. */
function label(args: readonly unknown[]): string {
  return args
    .map((arg) =>
      Buffer.isBuffer(arg) ? 'Buffer' : typeof arg === 'object' ? JSON.stringify(arg) : String(arg),
    )
    .join(', ')
}

// The texts are those of Node 20; other versions word some of them differently.
const isNode20 = process.version.startsWith('v20.')

describe('times', () => {
  const times = [
    0,
    1.5,
    1.123456789,
    1_700_000_000.999999,
    1e-9,
    2 ** 31,
    '1234.5',
    new Date(1_234_567_891),
    new Date(-1500),
  ]
  test.each(times)('%s is kept to the nanosecond that Node keeps', (time) => {
    const stats = [nodeFs, view.fs].map((fs, i) => {
      const path = i === 0 ? join(folder, 'f') : '/f'
      return (['utimesSync', 'lutimesSync', 'futimesSync'] as const).map((method) => {
        const fd = fs.openSync(path, 'r+')
        if (method === 'futimesSync') fs.futimesSync(fd, time, time)
        else fs[method](path, time, time)
        fs.closeSync(fd)
        const { mtimeNs, atimeNs, mtimeMs } = fs.statSync(path, { bigint: true })
        return [mtimeNs, atimeNs, mtimeMs, fs.statSync(path).mtimeMs, fs.statSync(path).mtime.getTime()]
      })
    })
    expect(stats[1]).toEqual(stats[0])
  })
})

describe.runIf(isNode20)('wrong arguments fail as in Node, sync', () => {
  const all = [...Object.entries(WRONG), ...Object.entries(WRONG_SYNC)].flatMap(([method, lists]) =>
    lists.map((args) => ({ method, args, title: `${method}Sync(${label(args)})` })),
  )
  test.each(all)('$title', ({ method, args }) => {
    const theirs = failureOf(() =>
      (nodeFs as unknown as Methods)[`${method}Sync`]!(...place(args, `${folder}/`)),
    )
    const ours = failureOf(() => (view.fs as unknown as Methods)[`${method}Sync`]!(...place(args, '/')))
    expect(ours).toEqual(theirs)
  })
})

describe.runIf(isNode20)('wrong arguments throw from callback methods and reject promises', () => {
  const all = Object.entries(WRONG)
    .filter(([method]) => method !== 'cp')
    .flatMap(([method, lists]) => lists.map((args) => ({ method, args, title: `${method}(${label(args)})` })))
  test.each(all)('$title', async ({ method, args }) => {
    const callback = () => undefined
    const theirs = failureOf(() =>
      (nodeFs as unknown as Methods)[method]!(...place(args, `${folder}/`), callback),
    )
    const ours = failureOf(() => (view.fs as unknown as Methods)[method]!(...place(args, '/'), callback))
    expect(ours).toEqual(theirs)
    await expect((view.fs.promises as unknown as Methods)[method]!(...place(args, '/'))).rejects.toThrow(
      Error,
    )
  })

  test.each(['stat', 'readFile', 'mkdir', 'rename', 'access', 'close'])('%s without a callback', (method) => {
    const args = method === 'rename' ? ['/f', '/g'] : method === 'close' ? [9999] : ['/f']
    const withoutValue = {
      ...(failureOf(() => (view.fs as unknown as Methods)[method]!(...args)) as Failure),
    }
    expect(withoutValue).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
    expect(withoutValue.message).toMatch(
      /^The "c(?:b|allback)" argument must be of type function\. Received /,
    )
  })
})
