// The README is what a newcomer runs first: its example is executed as it stands, and its links and commands exist.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const readme = readFileSync(join(root, 'README.md'), 'utf8')

describe('README', () => {
  test('the library example runs and prints what it promises', () => {
    const [, code] = /```js\n([\s\S]*?)```/.exec(readme) ?? []
    expect(code).toBeDefined()
    // Inside the package, so that `lamella` is this package by its own name.
    const file = join(root, `readme-example-${process.pid}.mjs`)
    writeFileSync(file, code!)
    try {
      const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: root, encoding: 'utf8' })
      expect(stderr).toBe('')
      expect(status).toBe(0)
      expect(stdout).toContain("[ 'README.md', 'NOTES.md' ]")
      expect(stdout).toContain("{ kind: 'A', path: '/docs/NOTES.md' }")
    } finally {
      rmSync(file)
    }
  })

  test('every linked file exists', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)]
      .map((match) => match[1]!)
      .filter((link) => !link.includes(':'))
    expect(links.length).toBeGreaterThan(2)
    expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([])
  })

  test('every command that it names exists, and every command is named', () => {
    const { stdout } = spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), '--help'], {
      encoding: 'utf8',
    })
    const commands = [...stdout.matchAll(/^ {2}([a-z-]+) {2,}/gm)].map((match) => match[1]!)
    expect(commands).toContain('build')
    const tables = readme.slice(readme.indexOf('## As a command'), readme.indexOf('## What it does not do'))
    expect(commands.filter((name) => !new RegExp(`\\b${name}\\b`).test(tables))).toEqual([])
  })

  test('the scripts that it names exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
    const named = [...readme.matchAll(/npm (?:run )?(demo|test|bench)\b/g)].map((match) => match[1]!)
    expect(named.length).toBeGreaterThan(1)
    expect(named.filter((name) => !(name in scripts))).toEqual([])
  })
})
