// The asynchronous side of `view.fs`: that the three forms agree, and Node's objects: FileHandle, streams, Dir, watchers.
import * as fc from 'fast-check'
import type { EventEmitter } from 'node:events'
import { promisify } from 'node:util'
import { pipeline } from 'node:stream/promises'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { UnionView, type NodeFs } from 'lamella/unionfs'
import { runs } from '../chance.js'

type Method = (...args: unknown[]) => unknown
type Methods = Record<string, Method>

interface Outcome {
  readonly value?: unknown
  readonly error?: unknown
}

/** A result without what differs from run to run. */
function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('latin1')
  if (value !== null && typeof value === 'object' && 'ino' in value) {
    const { mode, nlink, uid, gid, size } = value as Record<string, unknown>
    return { mode, nlink, uid, gid, size }
  }
  return value === undefined ? null : value
}

function failure(error: unknown): Outcome {
  const { code, errno, syscall, path, dest, message } = error as Record<string, unknown>
  return { error: { code, errno, syscall, path, dest, message } }
}

type Form = (fs: NodeFs, method: string, args: readonly unknown[]) => Promise<Outcome>

const sync: Form = async (fs, method, args) => {
  try {
    return { value: plain((fs as unknown as Methods)[`${method}Sync`]!(...args)) }
  } catch (error) {
    return failure(error)
  }
}

const callback: Form = (fs, method, args) =>
  new Promise((resolve) => {
    let hasReturned = false
    const done = (error: unknown, value: unknown) => {
      expect(hasReturned).toBe(true)
      resolve(error === null ? { value: plain(value) } : failure(error))
    }
    try {
      ;(fs as unknown as Methods)[method]!(...args, done)
    } catch (error) {
      resolve(failure(error))
    }
    hasReturned = true
  })

const promise: Form = async (fs, method, args) => {
  try {
    return { value: plain(await (fs.promises as unknown as Methods)[method]!(...args)) }
  } catch (error) {
    return failure(error)
  }
}

describe('sync = callback = promise', () => {
  const path = fc
    .array(fc.constantFrom('a', 'b', 'c', '..', 'l'), { minLength: 1, maxLength: 3 })
    .map((parts) => `/${parts.join('/')}`)
  const call = fc.oneof(
    ...[
      'stat',
      'lstat',
      'readdir',
      'unlink',
      'rmdir',
      'readlink',
      'realpath',
      'readFile',
      'access',
      'truncate',
      'statfs',
    ].map((name) => fc.tuple(fc.constant(name), fc.tuple(path))),
    ...['rename', 'link', 'copyFile'].map((name) => fc.tuple(fc.constant(name), fc.tuple(path, path))),
    ...['writeFile', 'appendFile'].map((name) =>
      fc.tuple(fc.constant(name), fc.tuple(path, fc.constantFrom('', 'x', 'data'))),
    ),
    fc.tuple(fc.constant('symlink'), fc.tuple(fc.constantFrom('a', '../b', '/c'), path)),
    fc.tuple(fc.constant('mkdir'), fc.tuple(path, fc.constantFrom({}, { recursive: true }))),
    fc.tuple(fc.constant('rm'), fc.tuple(path, fc.constantFrom({}, { recursive: true }, { force: true }))),
    fc.tuple(fc.constant('chmod'), fc.tuple(path, fc.constantFrom(0o600, 0o755, 'x'))),
    fc.tuple(fc.constant('cp'), fc.tuple(path, path, fc.constant({ recursive: true }))),
  )

  test('for any sequence of calls', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 20 }), async (calls) => {
        const outcomes: unknown[][] = []
        for (const form of [sync, callback, promise]) {
          const { fs } = new UnionView()
          const results: unknown[] = []
          for (const [method, args] of calls)
            results.push(await form(fs, method as string, args as unknown[]))
          outcomes.push(results)
        }
        expect(outcomes[1]).toEqual(outcomes[0])
        expect(outcomes[2]).toEqual(outcomes[0])
      }),
      { numRuns: runs(150) },
    )
  })

  test('promisified methods with two results', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'abc')
    const fd = fs.openSync('/f', 'r+')
    const buffer = Buffer.alloc(3)
    expect(await promisify(fs.read)(fd, buffer, 0, 3, 0)).toEqual({ bytesRead: 3, buffer })
    expect(await promisify(fs.write)(fd, 'xy')).toEqual({ bytesWritten: 2, buffer: 'xy' })
    expect(await promisify(fs.exists)('/f')).toBe(true)
  })

  test('read has its shorter forms in the callback method', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'abc')
    const fd = fs.openSync('/f', 'r')
    const [count, buffer] = await new Promise<[number, Buffer]>((resolve) => {
      fs.read(fd, (_, read, into) => resolve([read, into as Buffer]))
    })
    expect(buffer.toString('utf8', 0, count)).toBe('abc')
    expect(buffer).toHaveLength(16_384)
  })
})

describe('FileHandle', () => {
  test('reads, writes, knows its state', async () => {
    const { fs } = new UnionView()
    const handle = await fs.promises.open('/f', 'w+')
    await handle.writeFile('one\ntwo\n')
    // Node takes pieces here too, which its types do not say.
    await handle.appendFile(['three', '\n'] as unknown as string)
    expect((await handle.stat()).size).toBe(14)
    const { bytesRead, buffer } = await handle.read({ position: 4, length: 3 })
    expect(buffer.toString('utf8', 0, bytesRead)).toBe('two')
    await handle.truncate(3)
    await handle.chmod(0o600)
    await handle.utimes(1, 2)
    expect(await handle.stat({ bigint: true })).toMatchObject({ mtimeNs: 2_000_000_000n, size: 3n })
    const closed = new Promise((resolve) =>
      (handle as unknown as EventEmitter).on('close', () => resolve('closed')),
    )
    await handle.close()
    await handle.close()
    expect(await closed).toBe('closed')
    expect(handle.fd).toBe(-1)
    await expect(handle.read()).rejects.toMatchObject({
      code: 'EBADF',
      message: 'file closed',
      syscall: 'read',
    })
  })

  test('lines, streams and web streams', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'one\r\ntwo\nthree')
    const lines: string[] = []
    const first = await fs.promises.open('/f')
    for await (const line of first.readLines()) lines.push(line)
    expect(lines).toEqual(['one', 'two', 'three'])
    const second = await fs.promises.open('/f')
    expect(await text(second.createReadStream({ start: 5, end: 7 }))).toBe('two')
    const third = await fs.promises.open('/f')
    const chunks: Uint8Array[] = []
    for await (const chunk of third.readableWebStream()) chunks.push(chunk as Uint8Array)
    expect(Buffer.concat(chunks).toString()).toBe('one\r\ntwo\nthree')
  })

  test('is closed by await using', async () => {
    const view = new UnionView()
    view.fs.writeFileSync('/f', '')
    const handle = await view.fs.promises.open('/f')
    await handle[Symbol.asyncDispose]()
    expect(view.stats().openFiles).toBe(0)
  })
})

describe('writeFile from pieces', () => {
  test.each([
    ['iterable', () => ['a', 'b', 'c']],
    [
      'async iterable',
      async function* () {
        yield 'a'
        yield Buffer.from('bc')
      },
    ],
  ])('%s', async (_, make) => {
    const { fs } = new UnionView()
    await fs.promises.writeFile('/f', make())
    expect(fs.readFileSync('/f', 'utf8')).toBe('abc')
  })
})

describe('streams', () => {
  test('copy a large file in order and give the descriptors back', async () => {
    const view = new UnionView()
    const data = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
    view.fs.writeFileSync('/in', data)
    const [input, output] = [view.fs.createReadStream('/in'), view.fs.createWriteStream('/out')]
    const events: string[] = []
    for (const name of ['open', 'ready', 'close']) input.on(name, () => events.push(name))
    await pipeline(input, output)
    expect(view.fs.readFileSync('/out').equals(data)).toBe(true)
    expect(input.bytesRead).toBe(data.length)
    expect(output.bytesWritten).toBe(data.length)
    await new Promise((resolve) => setImmediate(resolve))
    expect(events).toEqual(['open', 'ready', 'close'])
    expect(view.stats().openFiles).toBe(0)
  })

  test.each([
    [{ start: 2 }, 'cdefg'],
    [{ end: 2 }, 'abc'],
    [{ start: 1, end: 3 }, 'bcd'],
    [{ start: 100 }, ''],
    [{ encoding: 'hex' as const, end: 1 }, '6162'],
    [{ highWaterMark: 2 }, 'abcdefg'],
  ])('range %o', async (options, want) => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'abcdefg')
    expect(await text(fs.createReadStream('/f', options))).toBe(want)
  })

  test('writing at a position keeps the rest', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'abcdefg')
    const stream = fs.createWriteStream('/f', { start: 2 })
    stream.write('X')
    await new Promise<void>((resolve) => stream.end('Y', () => resolve()))
    expect(fs.readFileSync('/f', 'utf8')).toBe('abXYefg')
  })

  test('appending, an error on opening, a signal', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'a')
    await pipeline(['b', 'c'], fs.createWriteStream('/f', { flags: 'a' }))
    expect(fs.readFileSync('/f', 'utf8')).toBe('abc')
    const missing = await new Promise<unknown>((resolve) =>
      fs.createReadStream('/nope').on('error', (error) => resolve(error)),
    )
    expect(missing).toMatchObject({ code: 'ENOENT', syscall: 'open', path: '/nope' })
    const controller = new AbortController()
    const aborted = fs.createReadStream('/f', { signal: controller.signal })
    const failed = new Promise<unknown>((resolve) => aborted.on('error', resolve))
    controller.abort()
    expect(await failed).toMatchObject({ name: 'AbortError' })
    expect(() => fs.createReadStream('/f', { start: 3, end: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
    )
  })

  test('a descriptor that is unlinked and renamed meanwhile', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'x'.repeat(200_000))
    const stream = fs.createReadStream('/f')
    await new Promise<void>((resolve) => stream.once('readable', () => resolve()))
    fs.renameSync('/f', '/g')
    fs.unlinkSync('/g')
    expect((await text(stream)).length).toBe(200_000)
  })
})

describe('AbortSignal', () => {
  test('readFile and writeFile before and after the call', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'kept')
    const early = AbortSignal.abort()
    await expect(fs.promises.readFile('/f', { signal: early })).rejects.toMatchObject({
      name: 'AbortError',
      code: 'ABORT_ERR',
    })
    const controller = new AbortController()
    const writing = fs.promises.writeFile('/f', 'changed', { signal: controller.signal })
    controller.abort()
    await expect(writing).rejects.toMatchObject({ code: 'ABORT_ERR' })
    expect(fs.readFileSync('/f', 'utf8')).toBe('kept')
    const error = await new Promise<unknown>((resolve) =>
      fs.readFile('/f', { signal: early }, (failed) => resolve(failed)),
    )
    expect(error).toMatchObject({ name: 'AbortError' })
  })
})

describe('Dir', () => {
  test('in its three ways', async () => {
    const { fs } = new UnionView()
    fs.mkdirSync('/d/sub', { recursive: true })
    fs.writeFileSync('/d/f', '')
    fs.writeFileSync('/d/sub/g', '')
    const names: string[] = []
    for await (const entry of await fs.promises.opendir('/d')) names.push(entry.name)
    expect(names.sort()).toEqual(['f', 'sub'])
    const dir = fs.opendirSync('/d', { recursive: true })
    const all: string[] = []
    for (let entry = dir.readSync(); entry !== null; entry = dir.readSync())
      all.push(`${entry.parentPath}/${entry.name}`)
    expect(all.sort()).toEqual(['/d/f', '/d/sub', '/d/sub/g'])
    await dir.close()
    expect(() => dir.readSync()).toThrow(expect.objectContaining({ code: 'ERR_DIR_CLOSED' }))
  })
})

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('watch', () => {
  test('a directory tells of its entries, recursive of all below', async () => {
    const { fs } = new UnionView()
    fs.mkdirSync('/d/sub', { recursive: true })
    const [flat, deep]: [unknown[], unknown[]] = [[], []]
    const watchers = [
      fs.watch('/d', (...event) => flat.push(event)),
      fs.watch('/d', { recursive: true }, (...event) => deep.push(event)),
    ]
    fs.writeFileSync('/d/f', 'x')
    fs.renameSync('/d/f', '/d/sub/g')
    fs.chmodSync('/d/sub/g', 0o600)
    await turn()
    expect(flat).toEqual([
      ['rename', 'f'],
      ['change', 'f'],
      ['rename', 'f'],
    ])
    expect(deep).toContainEqual(['rename', 'sub/g'])
    expect(deep.at(-1)).toEqual(['change', 'sub/g'])
    for (const watcher of watchers) watcher.close()
    fs.unlinkSync('/d/sub/g')
    await turn()
    expect(deep.at(-1)).toEqual(['change', 'sub/g'])
    expect(() => fs.watch('/nope')).toThrow(expect.objectContaining({ code: 'ENOENT', syscall: 'watch' }))
  })

  test('promises.watch ends by its signal', async () => {
    const { fs } = new UnionView()
    fs.mkdirSync('/d')
    const controller = new AbortController()
    const events: unknown[] = []
    const watching = (async () => {
      for await (const event of fs.promises.watch('/d', { signal: controller.signal })) {
        events.push(event)
        controller.abort()
      }
    })()
    await turn()
    fs.writeFileSync('/d/f', '')
    await expect(watching).rejects.toMatchObject({ name: 'AbortError' })
    expect(events).toEqual([{ eventType: 'rename', filename: 'f' }])
  })

  test('watchFile tells now and before', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'a')
    const seen: [number, number][] = []
    const listener = (now: { size: number }, before: { size: number }) =>
      void seen.push([now.size, before.size])
    fs.watchFile('/f', listener)
    fs.writeFileSync('/f', 'abc')
    await turn()
    fs.unlinkSync('/f')
    await turn()
    expect(seen).toEqual([
      [3, 1],
      [0, 3],
    ])
    fs.unwatchFile('/f', listener)
    fs.writeFileSync('/f', 'x')
    await turn()
    expect(seen).toHaveLength(2)
  })
})

describe('cp', () => {
  // As Node does it (lib/internal/fs/cp: join): the kernel resolves the path that was given, the text decides below it.
  test('`..` behind a symlink is taken away as text below the folder that was named', () => {
    const { fs } = new UnionView()
    fs.mkdirSync('/b/b', { recursive: true })
    fs.mkdirSync('/x/d', { recursive: true })
    fs.symlinkSync('/', '/x/d/a')
    expect(() => fs.cpSync('/x/d/a/../b', '/x/d', { recursive: true })).toThrow(
      expect.objectContaining({ code: 'ENOENT', syscall: 'lstat', path: '/x/d/b/b' }),
    )
    fs.mkdirSync('/x/d/b/b', { recursive: true })
    fs.writeFileSync('/x/d/b/b/f', 'by the text')
    fs.cpSync('/x/d/a/../b', '/x/to', { recursive: true })
    expect(fs.readdirSync('/x/to', { recursive: true })).toEqual(['b', 'b/f'])
  })

  test('a filter that answers later, in the asynchronous forms alone', async () => {
    const { fs } = new UnionView()
    fs.mkdirSync('/from/sub', { recursive: true })
    for (const name of ['a', 'b', 'sub/c']) fs.writeFileSync(`/from/${name}`, name)
    const filter = async (source: string) => {
      await turn()
      return !source.endsWith('/b')
    }
    await fs.promises.cp('/from', '/to', { recursive: true, filter })
    expect(fs.readdirSync('/to', { recursive: true }).sort()).toEqual(['a', 'sub', 'sub/c'])
    await new Promise((resolve) => fs.cp('/from', '/again', { recursive: true, filter }, resolve))
    expect(fs.existsSync('/again/b')).toBe(false)
    expect(() => fs.cpSync('/from', '/x', { recursive: true, filter: filter as never })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_RETURN_VALUE' }),
    )
  })
})

describe('glob and openAsBlob', () => {
  test('glob as Node 22 has it', async () => {
    const { fs } = new UnionView()
    fs.mkdirSync('/p/src', { recursive: true })
    for (const name of ['a.ts', 'src/b.ts', 'src/c.js']) fs.writeFileSync(`/p/${name}`, '')
    const { globSync } = fs as unknown as { globSync(pattern: string, options: object): string[] }
    expect(globSync('**/*.ts', { cwd: '/p' }).sort()).toEqual(['a.ts', 'src/b.ts'])
    const { glob } = fs.promises as unknown as {
      glob(pattern: string, options: object): AsyncIterable<string>
    }
    const found: string[] = []
    for await (const path of glob('**/*', { cwd: '/p', exclude: (path: string) => path.endsWith('.js') }))
      found.push(path)
    expect(found.sort()).toEqual(['a.ts', 'src', 'src/b.ts'])
  })

  test('openAsBlob', async () => {
    const { fs } = new UnionView()
    fs.writeFileSync('/f', 'blob')
    const blob = await fs.openAsBlob('/f', { type: 'text/plain' })
    expect([await blob.text(), blob.type]).toEqual(['blob', 'text/plain'])
  })
})
