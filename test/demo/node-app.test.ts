// examples/node-app and its functions: they do what the real programs do. A file system of the host stands in for a
// view's here; that they work on views is shown by the demo.
import { execFileSync, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { functionsExecutor } from '../../src/builder/executors/functions.js'
import type { FunctionRule } from '../../src/builder/executors/functions.js'
import type { ExecRequest } from '../../src/builder/executor.js'
import { scanTar } from '../../src/store/tar/index.js'
import { findProgram, peerTest } from '../peers.js'
import { nodeFunctions } from '../../examples/functions/index.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const app = join(root, 'examples/node-app')
const scratch = fs.mkdtempSync(join(tmpdir(), 'lamella-node-app-'))
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))

/** A copy of the project as the build context has it: without packages/. */
function projectCopy(name: string): string {
  const folder = join(scratch, name)
  fs.cpSync(app, folder, {
    recursive: true,
    filter: (path) => !['packages', 'node_modules', 'dist'].includes(relative(app, path)),
  })
  return folder
}

async function run(cwd: string, commandLine: string): Promise<{ exitCode: number; out: string }> {
  let out = ''
  const { exitCode } = await functionsExecutor(nodeFunctions as FunctionRule[]).run({
    view: { fs } as unknown as ExecRequest['view'],
    argv: ['/bin/sh', '-c', commandLine],
    commandLine,
    env: [],
    cwd,
    user: '',
    mounts: [],
    network: 'default',
    onOutput: (_stream, bytes) => (out += new TextDecoder().decode(bytes)),
  })
  return { exitCode, out }
}

/** Every entry below a folder: type, permission bits, link target or content. */
function listing(folder: string): Record<string, string> {
  const out: Record<string, string> = {}
  for (const path of fs.readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const full = join(folder, path)
    const stat = fs.lstatSync(full)
    const mode = (stat.mode & 0o7777).toString(8)
    if (stat.isSymbolicLink()) out[path] = `-> ${fs.readlinkSync(full)}`
    else out[path] = stat.isDirectory() ? `dir ${mode}` : `${mode} ${fs.readFileSync(full, 'utf8')}`
  }
  return out
}

const npm = findProgram('npm')
const ENV = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH ?? ''}` }

describe('the functions give what the programs give', () => {
  peerTest('npm install, prisma generate, npm run build: equal trees', npm !== undefined, async () => {
    const ours = projectCopy('ours')
    for (const line of ['npm install', 'npx prisma generate', 'npm run build']) {
      expect(await run(ours, line)).toMatchObject({ exitCode: 0 })
    }
    const theirs = projectCopy('theirs')
    // A home that is not there, or cannot be written, is nothing to npm then.
    const env = { ...ENV, npm_config_cache: join(dirname(theirs), 'npm-cache') }
    const options = { cwd: theirs, env, stdio: 'pipe' as const }
    execFileSync(npm!, ['install', '--offline', '--no-audit', '--no-fund'], options)
    execFileSync(npm!, ['exec', '--offline', '--', 'prisma', 'generate'], options)
    execFileSync(npm!, ['run', 'build'], options)
    expect(listing(ours)).toEqual(listing(theirs))
  })
})

describe('npm install', () => {
  test('is the same a second time, and takes away what is not wanted any more', async () => {
    const folder = projectCopy('twice')
    await run(folder, 'npm install')
    const before = listing(folder)
    expect(await run(folder, 'npm install')).toEqual({ exitCode: 0, out: '\nup to date\n' })
    expect(listing(folder)).toEqual(before)
    const manifest = JSON.parse(fs.readFileSync(join(folder, 'package.json'), 'utf8'))
    delete manifest.dependencies['@desk/prisma']
    fs.writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
    expect(await run(folder, 'npm install')).toMatchObject({ exitCode: 0 })
    expect(fs.existsSync(join(folder, 'node_modules/@desk/prisma'))).toBe(false)
    expect(fs.readdirSync(join(folder, 'node_modules/.bin'))).toEqual([])
  })

  test('refuses a package that is not what the lock file says', async () => {
    const folder = projectCopy('tampered')
    fs.copyFileSync(join(folder, 'package-prisma.tgz'), join(folder, 'package-http.tgz'))
    const { exitCode, out } = await run(folder, 'npm install')
    expect(exitCode).toBe(1)
    expect(out).toContain('EINTEGRITY')
    expect(fs.existsSync(join(folder, 'node_modules'))).toBe(false)
  })

  test('refuses what only a registry has', async () => {
    const folder = projectCopy('registry')
    const manifest = JSON.parse(fs.readFileSync(join(folder, 'package.json'), 'utf8'))
    manifest.dependencies['left-pad'] = '^1.0.0'
    fs.writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
    const { exitCode, out } = await run(folder, 'npm install')
    expect([exitCode, out]).toEqual([1, expect.stringContaining('left-pad@^1.0.0')])
  })
})

describe('bad input', () => {
  test.each([
    { line: 'npm run absent', code: 1, text: 'Missing script: "absent"' },
    { line: 'npm run odd', code: 2, text: 'needs a shell' },
    { line: 'npm run foreign', code: 127, text: 'webpack: not found' },
    { line: 'npx prisma generate', code: 127, text: 'could not determine executable' },
  ])('$line → $code', async ({ line, code, text }) => {
    const folder = projectCopy(`bad-${line.replaceAll(' ', '-')}`)
    const manifest = JSON.parse(fs.readFileSync(join(folder, 'package.json'), 'utf8'))
    manifest.scripts = { odd: 'esbuild a && rm b', foreign: 'webpack' }
    fs.writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
    const { exitCode, out } = await run(folder, line)
    expect([exitCode, out]).toEqual([code, expect.stringContaining(text)])
  })

  test('a syntax error names the file and the line', async () => {
    const folder = projectCopy('syntax')
    fs.writeFileSync(join(folder, 'src/db.ts'), 'export const = 1\n')
    const { exitCode, out } = await run(folder, 'npm run build')
    expect([exitCode, out]).toEqual([1, expect.stringContaining('src/db.ts:1:')])
  })

  test('a broken schema names the file', async () => {
    const folder = projectCopy('schema')
    await run(folder, 'npm install')
    fs.appendFileSync(join(folder, 'prisma/schema.prisma'), 'model Broken {\n  what is this\n}\n')
    const { exitCode, out } = await run(folder, 'npx prisma generate')
    expect([exitCode, out]).toEqual([
      1,
      expect.stringContaining('prisma/schema.prisma: model Broken needs exactly one @id'),
    ])
  })
})

test('the service that was built runs and answers', async () => {
  const folder = projectCopy('service')
  for (const line of ['npm install', 'npx prisma generate', 'npm run build']) await run(folder, line)
  const { status, stdout } = spawnSync(process.execPath, ['dist/index.js', '--self-check'], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect(stdout.match(/^ok /gm)).toHaveLength(5)
  expect(status).toBe(0)
})

test.each(['http', 'prisma'])('the packed file holds packages/%s as it is', (name) => {
  const tar = new Uint8Array(gunzipSync(fs.readFileSync(join(app, `package-${name}.tgz`))))
  const packed = new Map<string, string>()
  for (const { path, dataOffset, size } of scanTar(tar)) {
    packed.set(
      path.replace(/^package\//, ''),
      new TextDecoder().decode(tar.subarray(dataOffset, dataOffset + size)),
    )
  }
  const folder = join(app, 'packages', name)
  const sources = fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => fs.statSync(join(folder, path)).isFile())
  expect([...packed.keys()].toSorted()).toEqual(sources.toSorted())
  for (const path of sources) expect(packed.get(path)).toBe(fs.readFileSync(join(folder, path), 'utf8'))
})
