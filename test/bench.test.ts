// The runner of bench/: what it refuses, and what it writes. Figures are nobody's business here.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lamella-bench-test-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'bench/main.mjs'), ...args], {
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

test.each([
  { name: 'a group that is none', args: ['nonsense'], says: 'unknown group nonsense; there are ' },
  { name: 'an option that is none', args: ['--nonsense'], says: "Unknown option '--nonsense'" },
  { name: 'numbers of files that are none', args: ['--files', '10,x'], says: '--files 10,x' },
  { name: 'no files', args: ['--files', '0'], says: '--files 0' },
  {
    name: 'a place where nothing can be written',
    args: ['--json', '/nowhere/at/all'],
    says: '--json: ENOENT',
  },
])(
  'refuses $name, before anything is measured',
  ({ args, says }) => {
    const { status, stdout, stderr } = bench(...args)
    expect(stderr).toContain(`bench: ${says}`)
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  },
  60_000,
)

test('--help and --list say what there is', () => {
  const { status, stdout } = bench('--list')
  expect(status).toBe(0)
  expect(stdout.trim().split('\n')).toEqual(expect.arrayContaining(['lookup', 'peers', 'rebuild', 'startup']))
  expect(bench('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--files') as string })
})

test('a group is measured, checked, printed and written', () => {
  const file = join(folder, 'out.json')
  const { status, stdout, stderr } = bench('parse', '--quick', '--no-save', '--json', file)
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' })
  const { command, results } = JSON.parse(readFileSync(file, 'utf8')) as {
    command: string
    results: { parse: { name: string; n: number; check: boolean }[] }
  }
  expect(command).toContain('parse --quick')
  expect(results.parse.length).toBeGreaterThan(0)
  for (const { name, n, check } of results.parse) {
    expect({ name, check, isCounted: n > 0 }).toEqual({ name, check: true, isCounted: true })
    expect(stdout).toContain(name)
  }
})
