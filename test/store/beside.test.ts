// Files that are written beside a user's: whole or not there, and nothing left behind by whoever died.
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { besidePlace, currentOwner, writeFileWhole } from '../../src/store/index.js'
import { makeFolder } from './folder.js'

let folder: string
let out: string
beforeEach(() => {
  folder = makeFolder()
  out = join(folder, 'out.tar')
})

const bytes = (text: string) => new TextEncoder().encode(text)

/** The name under which a write to `path` is going on, as it is while the source is asked for its bytes. */
async function nameOfPartial(path = out): Promise<string> {
  let name: string | undefined
  await writeFileWhole(
    path,
    function* () {
      name = readdirSync(folder).find((entry) => entry.includes('.partial-'))
      yield bytes('x')
    }.call(undefined),
  )
  return name!
}

/** As `name`, of another owner. */
function ofOwner(
  name: string,
  change: { pid?: number; started?: string; tag?: (tag: string) => string },
): string {
  const [, before, pid, started, tag, n] = /^(.*\.partial-)(\d+)-([^-]*)-([^-]*)-(\d+)$/.exec(name)!
  return `${before}${change.pid ?? pid}-${change.started ?? started}-${change.tag?.(tag!) ?? tag}-${n}9`
}

/** A process that has ended, and whose parent has taken note. */
const deadPid = () => spawnSync('true').pid

describe('writeFileWhole', () => {
  test('law: the file has all bytes in order, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.nat(2000), fc.constantFrom(0, 65535, 65536, 1 << 20, (1 << 20) + 1)), {
          maxLength: 12,
        }),
        fc.boolean(),
        async (sizes, isAsync) => {
          const chunks = sizes.map((size, i) => Buffer.alloc(size, `${i}-`))
          await writeFileWhole(
            out,
            isAsync
              ? (async function* () {
                  yield* chunks
                })()
              : chunks,
          )
          expect(readFileSync(out).equals(Buffer.concat(chunks))).toBe(true)
          expect(readdirSync(folder)).toEqual(['out.tar'])
        },
      ),
      { numRuns: 40 },
    )
  })

  test('a source that fails leaves what was there, and nothing else', async () => {
    writeFileSync(out, 'old')
    const failing = (function* () {
      yield bytes('new')
      throw new Error('no more')
    })()
    await expect(writeFileWhole(out, failing)).rejects.toThrow('no more')
    expect(readFileSync(out, 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['out.tar'])
  })

  test('an abort leaves nothing', async () => {
    const controller = new AbortController()
    const endless = (function* () {
      for (let i = 0; ; i++) {
        if (i === 3) controller.abort()
        yield new Uint8Array(1 << 20)
      }
    })()
    await expect(writeFileWhole(out, endless, { signal: controller.signal })).rejects.toMatchObject({
      code: 'ABORT_ERR',
    })
    expect(readdirSync(folder)).toEqual([])
  })

  test('a file that was there keeps its permissions', async () => {
    writeFileSync(out, 'old')
    chmodSync(out, 0o600)
    await writeFileWhole(out, [bytes('new')])
    expect(statSync(out).mode & 0o777).toBe(0o600)
  })

  test('a link is followed, also one that leads nowhere yet', async () => {
    symlinkSync('real.tar', out)
    for (const text of ['made', 'replaced']) {
      await writeFileWhole(out, [bytes(text)])
      expect(lstatSync(out).isSymbolicLink()).toBe(true)
      expect(readFileSync(join(folder, 'real.tar'), 'utf8')).toBe(text)
    }
    expect(readdirSync(folder).toSorted()).toEqual(['out.tar', 'real.tar'])
  })

  test('what is no regular file is written into, not replaced', async () => {
    const pipe = join(folder, 'pipe')
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0)
    const reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'ignore'] })
    let read = ''
    reader.stdout.on('data', (data) => (read += data))
    const ended = new Promise((done) => reader.on('close', done))
    await writeFileWhole(pipe, [bytes('through')])
    await ended
    expect(read).toBe('through')
    expect(statSync(pipe).isFIFO()).toBe(true)
    await writeFileWhole('/dev/null', [bytes('away')])
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true)
  })

  test('a folder is refused before the source is asked', async () => {
    mkdirSync(out)
    let isAsked = false
    const source = (function* () {
      isAsked = true
      yield bytes('x')
    })()
    await expect(writeFileWhole(out, source)).rejects.toMatchObject({ code: 'EISDIR' })
    expect(isAsked).toBe(false)
  })

  test('a name that leaves no room for an owner', async () => {
    const long = join(folder, 'ü'.repeat(127))
    writeFileSync(join(folder, ofOwner(await nameOfPartial(long), { pid: deadPid() })), '')
    await writeFileWhole(long, [bytes('x')])
    expect(readdirSync(folder)).toEqual(['ü'.repeat(127)])
  })
})

describe('what others left', () => {
  const OTHER = (from: number) => (tag: string) =>
    tag.slice(0, from) +
    tag.slice(from, from + 6).replace(/./g, (c) => (c === '0' ? '1' : '0')) +
    tag.slice(from + 6)

  // The rule is that of locks: owner.ts.
  test.each<[string, () => Parameters<typeof ofOwner>[1], number, boolean]>([
    ['a process that ended', () => ({ pid: deadPid() }), 0, true],
    ['this process', () => ({}), 0, false],
    ['this process, however old', () => ({}), 48, false],
    ['a process that runs', () => ({ pid: 1, started: '' }), 0, false],
    ['a pid that was used again', () => ({ started: '1' }), 0, true],
    ['another host, lately', () => ({ pid: deadPid(), tag: (tag) => OTHER(0)(OTHER(6)(tag)) }), 1, false],
    ['another host, silent for long', () => ({ tag: (tag) => OTHER(0)(OTHER(6)(tag)) }), 48, true],
    ['an earlier boot of this host', () => ({ pid: 1, tag: OTHER(6) }), 0, true],
    ['another container, lately', () => ({ pid: deadPid(), tag: OTHER(12) }), 1, false],
    ['another container, silent for long', () => ({ tag: OTHER(12) }), 48, true],
  ])('of %s', async (_, owner, ageHours, isSwept) => {
    const left = join(folder, ofOwner(await nameOfPartial(), owner()))
    const then = new Date(Date.now() - ageHours * 3_600_000)
    for (const make of [() => writeFileSync(left, 'half'), () => mkdirSync(left)]) {
      make()
      utimesSync(left, then, then)
      await writeFileWhole(out, [bytes('new')])
      expect(existsSync(left)).toBe(!isSwept)
      if (existsSync(left)) renameSync(left, join(folder, `moved${Math.random()}`))
    }
  })

  test('names that are not ours to judge stay', async () => {
    const dead = ofOwner(await nameOfPartial(), { pid: deadPid() })
    const names = ['out.tar.partial-1', 'out.tar.partial-mine', `other-${dead}`, `${dead}.bak`, 'out.tar.old']
    for (const name of names) writeFileSync(join(folder, name), '')
    await writeFileWhole(out, [bytes('new')])
    expect(readdirSync(folder).toSorted()).toEqual([...names, 'out.tar'].toSorted())
  })

  test('a folder of a dead process with a link inside goes, what the link leads to stays', async () => {
    const left = join(folder, ofOwner(await nameOfPartial(), { pid: deadPid() }))
    const kept = join(makeFolder(), 'kept')
    writeFileSync(kept, 'mine')
    mkdirSync(left)
    symlinkSync(join(kept, '..'), join(left, 'link'))
    await besidePlace(out, async (temp) => mkdirSync(temp))
    expect(readdirSync(folder)).toEqual(['out.tar'])
    expect(readFileSync(kept, 'utf8')).toBe('mine')
  })

  test('the name tells the owner', async () => {
    const { pid, started } = currentOwner()
    expect(await nameOfPartial()).toMatch(
      new RegExp(`^out\\.tar\\.partial-${pid}-${started}-[0-9a-f]{18}-\\d+$`),
    )
  })
})
