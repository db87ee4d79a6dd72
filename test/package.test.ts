// What is published: types that hold for whoever embeds the package, without `skipLibCheck`.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string>
}
const doors = Object.keys(exports).filter((door) => door !== './package.json')

/** A project beside this one that has the package, and the types of Node, installed. */
function project(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-types-'))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/lamella'))
  symlinkSync(join(root, 'node_modules/@types'), join(folder, 'node_modules/@types'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const lines = doors.map((door, i) => `export * as door${i} from 'lamella${door.slice(1)}'\n`)
  writeFileSync(join(folder, 'index.ts'), lines.join(''))
  return folder
}

describe('every entry point has types', () => {
  test.each([
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])('module %s, moduleResolution %s', (module, moduleResolution) => {
    expect(doors.length).toBeGreaterThan(5)
    const options = { module, moduleResolution, target: 'es2022', lib: 'esnext', types: 'node' }
    const { status, stdout } = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/typescript/bin/tsc'),
        '--noEmit',
        '--strict',
        '--exactOptionalPropertyTypes',
        ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
        'index.ts',
      ],
      { cwd: project(), encoding: 'utf8' },
    )
    expect(stdout).toBe('')
    expect(status).toBe(0)
  })
})
