// What a build reads before anything is planned: nothing that could hold it up, nothing without a limit, and no name that
// would fail at its end.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readBuildFiles } from '../../src/builder/build-files.js'
import { build } from '../../src/builder/build.js'
import { createMemoryStore } from '../../src/store/index.js'
import { countingStore, fixedEnv, treeOf, writingExecutor } from './fixtures.js'

const LIMIT = 16 * 2 ** 20

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'lamella-build-files-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  writeFileSync(join(path, 'Dockerfile'), 'FROM scratch\n')
  return path
}

const read = (context: string, dockerfile?: string) =>
  readBuildFiles({ context, dockerfile, store: createMemoryStore(), signal: undefined })

const makers: Record<string, (path: string) => void> = {
  FIFO: (path) => void execFileSync('mkfifo', [path]),
  device: (path) => symlinkSync('/dev/zero', path),
  '16 MiB': (path) => {
    writeFileSync(path, '')
    truncateSync(path, LIMIT + 1)
  },
}

describe.skipIf(process.platform === 'win32')('a file that cannot be read as text', () => {
  test.each([
    ['Dockerfile', 'FIFO', 'DOCKERFILE_NOT_FOUND'],
    ['Dockerfile', 'device', 'DOCKERFILE_NOT_FOUND'],
    ['Dockerfile', '16 MiB', 'CONTEXT_UNREADABLE'],
    ['Dockerfile.dockerignore', 'FIFO', 'CONTEXT_UNREADABLE'],
    ['Dockerfile.dockerignore', 'device', 'CONTEXT_UNREADABLE'],
    ['Dockerfile.dockerignore', '16 MiB', 'CONTEXT_UNREADABLE'],
    ['.dockerignore', 'FIFO', 'CONTEXT_UNREADABLE'],
    ['.dockerignore', 'device', 'CONTEXT_UNREADABLE'],
    ['.dockerignore', '16 MiB', 'CONTEXT_UNREADABLE'],
  ])('%s that is a %s: %s', (name, kind, code) => {
    const dir = folder()
    rmSync(join(dir, name), { force: true })
    makers[kind]!(join(dir, name))
    expect(() => read(dir)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(kind) }))
  })

  test('-f /dev/zero', () => {
    expect(() => read(folder(), '/dev/zero')).toThrow(
      expect.objectContaining({ code: 'DOCKERFILE_NOT_FOUND', data: { path: '/dev/zero' } }),
    )
  })
})

test('a Dockerfile of exactly the limit is read', () => {
  const dir = folder()
  writeFileSync(
    join(dir, 'Dockerfile'),
    `${'FROM scratch\n'.padEnd(1024, '\n')}${`${'#'.repeat(1023)}\n`.repeat(LIMIT / 1024 - 1)}`,
  )
  expect(read(dir).text).toHaveLength(LIMIT)
})

test.skipIf(process.platform !== 'linux')('a file whose size says nothing is read to its end', () => {
  expect(() => read(folder(), '/proc/self/status')).toThrow(
    expect.objectContaining({ code: 'UNKNOWN_INSTRUCTION' }),
  )
})

test('a symlink to a Dockerfile elsewhere is followed', () => {
  const dir = folder()
  symlinkSync(join(folder(), 'Dockerfile'), join(dir, 'link'))
  expect(new TextDecoder().decode(read(dir, join(dir, 'link')).text as Uint8Array)).toBe('FROM scratch\n')
})

test('a directory with the name of an ignore file is none', () => {
  const dir = folder()
  mkdirSync(join(dir, '.dockerignore'))
  expect(read(dir).ignore).toBeUndefined()
})

describe('a bad name is refused before anything runs', () => {
  test.each([
    ['tag', { tags: ['good', 'Bad Name'] }],
    ['name of an image output', { outputs: [{ type: 'image', names: ['UPPER'] }] }],
    ['name in an archive', { outputs: [{ type: 'oci', dest: () => {}, names: ['a:b:c'] }] }],
  ] as const)('%s', async (_, options) => {
    const { store, counts } = countingStore()
    const run = build({
      ...options,
      store,
      env: fixedEnv,
      context: treeOf({ f: '=x' }),
      dockerfile: { text: 'FROM scratch\nCOPY f /\nRUN write a b\n' },
      executor: writingExecutor,
    })
    await expect(run).rejects.toMatchObject({ name: 'ImageError', code: 'REFERENCE_INVALID' })
    expect(counts.writes).toEqual([])
  })
})
