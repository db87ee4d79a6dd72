// Real programs over `view.fs`: what they do there has to be what they do over node:fs.
import { build } from 'esbuild'
import fastGlob from 'fast-glob'
import * as git from 'isomorphic-git'
import { Volume, createFsFromVolume } from 'memfs'
import nodeFs from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { toMemfs, treeFromVolume, UnionView, type NodeFs } from 'lamella/unionfs'

const author = { name: 'A', email: 'a@example.org', timestamp: 1_700_000_000, timezoneOffset: 0 }

/** A repository of 200 files, a branch, a change, a deletion; what a reader of it sees in the end. */
async function workWithGit(fs: NodeFs, dir: string) {
  await git.init({ fs, dir, defaultBranch: 'main' })
  for (let i = 0; i < 200; i++) {
    const filepath = `src/${i % 10}/file-${i}.txt`
    await fs.promises.mkdir(join(dir, dirname(filepath)), { recursive: true })
    await fs.promises.writeFile(join(dir, filepath), `content ${i}\n`)
    await git.add({ fs, dir, filepath })
  }
  const first = await git.commit({ fs, dir, message: 'first', author })
  await git.branch({ fs, dir, ref: 'other', checkout: true })
  await fs.promises.writeFile(join(dir, 'src/1/file-1.txt'), 'changed\n')
  await fs.promises.unlink(join(dir, 'src/2/file-2.txt'))
  const status = await git.statusMatrix({ fs, dir })
  await git.add({ fs, dir, filepath: 'src/1/file-1.txt' })
  await git.remove({ fs, dir, filepath: 'src/2/file-2.txt' })
  const second = await git.commit({ fs, dir, message: 'second', author })
  await git.checkout({ fs, dir, ref: 'main' })
  const log = await git.log({ fs, dir, ref: 'other' })
  return {
    first,
    second,
    log: log.map(({ oid, commit }) => [oid, commit.message]),
    status: status.filter(([, ...row]) => String(row) !== '1,1,1'),
    clean: (await git.statusMatrix({ fs, dir })).every(([, ...row]) => String(row) === '1,1,1'),
    restored: String(await fs.promises.readFile(join(dir, 'src/1/file-1.txt'), 'utf8')),
    deletedIsBack: fs.existsSync(join(dir, 'src/2/file-2.txt')),
  }
}

describe('isomorphic-git', () => {
  test('init, add, commit, branch, checkout, status, log of 200 files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lamella-git-'))
    try {
      const view = new UnionView()
      view.fs.mkdirSync('/repo')
      const ours = await workWithGit(view.fs, '/repo')
      expect(ours).toEqual(await workWithGit(nodeFs, folder))
      expect(ours).toMatchObject({ clean: true, restored: 'content 1\n', deletedIsBack: true })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('works on over a snapshot, and leaves it alone', async () => {
    const below = new UnionView()
    below.fs.mkdirSync('/repo')
    await workWithGit(below.fs, '/repo')
    const tree = below.snapshot()
    const view = new UnionView(tree)
    await git.checkout({ fs: view.fs, dir: '/repo', ref: 'other' })
    expect(view.fs.readFileSync('/repo/src/1/file-1.txt', 'utf8')).toBe('changed\n')
    expect(new UnionView(tree).fs.readFileSync('/repo/src/1/file-1.txt', 'utf8')).toBe('content 1\n')
    expect(
      view
        .changes()
        .filter(({ path }) => path.startsWith('/repo/src/'))
        .map(({ kind, path }) => `${kind} ${path}`),
    ).toEqual(expect.arrayContaining(['C /repo/src/1/file-1.txt', 'D /repo/src/2/file-2.txt']))
  })
})

describe('fast-glob', () => {
  const files = ['a.ts', 'b.js', 'src/c.ts', 'src/deep/d.ts', 'src/.hidden.ts', 'node_modules/x/e.ts']

  function fill(fs: NodeFs, root: string): void {
    for (const file of files) {
      fs.mkdirSync(join(root, dirname(file)), { recursive: true })
      fs.writeFileSync(join(root, file), file)
    }
    fs.symlinkSync('src', join(root, 'link'))
  }

  test.each([
    { patterns: ['**/*.ts'], options: {} },
    { patterns: ['**/*.ts', '!node_modules'], options: { dot: true } },
    { patterns: ['*'], options: { onlyFiles: false, markDirectories: true } },
    { patterns: ['**'], options: { followSymbolicLinks: false } },
    { patterns: ['src/{c,deep/*}.ts', '[ab].*'], options: {} },
    { patterns: ['**/*.ts'], options: { stats: true, absolute: false, deep: 2 } },
  ])('$patterns $options', async ({ patterns, options }) => {
    const folder = mkdtempSync(join(tmpdir(), 'lamella-glob-'))
    try {
      const view = new UnionView()
      view.fs.mkdirSync(folder, { recursive: true })
      fill(view.fs, folder)
      fill(nodeFs, folder)
      const names = (found: unknown[]) =>
        found.map((one) => (typeof one === 'string' ? one : (one as { path: string }).path)).sort()
      const theirs = names(await fastGlob(patterns, { ...options, cwd: folder }))
      expect(theirs.length).toBeGreaterThan(0)
      const fs = view.fs as never
      expect(names(await fastGlob(patterns, { ...options, cwd: folder, fs }))).toEqual(theirs)
      expect(names(fastGlob.sync(patterns, { ...options, cwd: folder, fs }))).toEqual(theirs)
      const streamed: unknown[] = []
      for await (const entry of fastGlob.stream(patterns, { ...options, cwd: folder, fs }))
        streamed.push(entry)
      expect(names(streamed)).toEqual(theirs)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('esbuild, through a plugin that reads a view', () => {
  test('bundles modules, resolves package.json and follows links', async () => {
    const view = new UnionView()
    const { fs } = view
    const put = (path: string, text: string) => {
      fs.mkdirSync(dirname(path), { recursive: true })
      fs.writeFileSync(path, text)
    }
    put(
      '/app/main.ts',
      `import { twice } from './lib/twice'\nimport dep from 'dep'\nexport default twice(dep as number)`,
    )
    put('/app/lib/twice.ts', 'export const twice = (n: number) => n * 2')
    put('/store/dep/package.json', '{ "name": "dep", "main": "./out/index.js" }')
    put('/store/dep/out/index.js', 'module.exports = 21')
    fs.mkdirSync('/app/node_modules')
    fs.symlinkSync('/store/dep', '/app/node_modules/dep')
    const resolvePath = (from: string, name: string): string => {
      if (!name.startsWith('.') && !name.startsWith('/')) {
        const root = fs.realpathSync(`/app/node_modules/${name}`)
        const { main } = JSON.parse(fs.readFileSync(`${root}/package.json`, 'utf8')) as { main: string }
        return join(root, main)
      }
      const path = join(from, name)
      return ['', '.ts', '.js'].map((suffix) => path + suffix).find((one) => fs.existsSync(one))!
    }
    const { outputFiles } = await build({
      entryPoints: ['/app/main.ts'],
      bundle: true,
      write: false,
      format: 'esm',
      plugins: [
        {
          name: 'view',
          setup(context) {
            context.onResolve({ filter: /.*/ }, ({ path, resolveDir, kind }) => ({
              path: kind === 'entry-point' ? path : resolvePath(resolveDir, path),
              namespace: 'view',
            }))
            context.onLoad({ filter: /.*/, namespace: 'view' }, async ({ path }) => ({
              contents: await fs.promises.readFile(path),
              loader: path.endsWith('.ts') ? 'ts' : 'js',
              resolveDir: dirname(path),
            }))
          },
        },
      ],
    })
    const source = Buffer.from(outputFiles[0]!.contents).toString('base64')
    const bundle = (await import(`data:text/javascript;base64,${source}`)) as { default: number }
    expect(bundle.default).toBe(42)
  })
})

describe('memfs', () => {
  const json = { '/a/b.txt': 'x', '/a/empty': null, '/c': 'y', '/a/d/e': 'z' }

  test('toJSON is memfs’s', () => {
    const volume = Volume.fromJSON(json)
    const ours = toMemfs(treeFromVolume(volume))
    expect(ours.toJSON()).toEqual(volume.toJSON())
    for (const path of ['/a', '/c', '/a/d']) {
      expect(ours.toJSON(path)).toEqual(volume.toJSON(path))
      if (path !== '/c') expect(ours.toJSON(path, {}, true)).toEqual(volume.toJSON(path, {}, true))
    }
    expect(ours.toJSON(['/a/d', '/missing'])).toEqual(volume.toJSON(['/a/d', '/missing']))
  })

  test('fromJSON, fromNestedJSON, mountSync and reset', () => {
    const volume = new Volume()
    const ours = toMemfs(new UnionView())
    const nested = { dir: { file: 'one', none: {} }, top: 'two' }
    volume.fromNestedJSON(nested, '/n')
    ours.fromNestedJSON(nested, '/n')
    volume.fromJSON({ './rel': 'r' }, '/cwd')
    ours.fromJSON({ './rel': 'r' }, '/cwd')
    expect(ours.toJSON()).toEqual(volume.toJSON())
    ours.reset()
    volume.reset()
    expect(ours.toJSON()).toEqual(volume.toJSON())
    ours.mountSync('/m', { f: '1' })
    expect(ours.readFileSync('/m/f', 'utf8')).toBe('1')
  })

  test('a program for createFsFromVolume runs over a view', () => {
    const program = (fs: Pick<NodeFs, 'mkdirSync' | 'writeFileSync' | 'readFileSync' | 'readdirSync'>) => {
      fs.mkdirSync('/w/x', { recursive: true })
      fs.writeFileSync('/w/x/f', 'text')
      return [fs.readdirSync('/w'), fs.readFileSync('/w/x/f', 'utf8')]
    }
    const theirs = program(createFsFromVolume(new Volume()) as unknown as NodeFs)
    expect(program(toMemfs(new UnionView()))).toEqual(theirs)
  })

  test('writes do not reach the tree or volume below', () => {
    const volume = Volume.fromJSON(json)
    const ours = toMemfs(treeFromVolume(volume))
    ours.writeFileSync('/c', 'changed')
    expect(volume.readFileSync('/c', 'utf8')).toBe('y')
    expect(ours.view.changes()).toEqual([{ kind: 'C', path: '/c' }])
  })
})
