// What leaves the store, what answers `why`, and where contexts may come from.
import { execFileSync } from 'node:child_process'
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { build } from '../../src/builder/build.js'
import { tarContext } from '../../src/builder/context.js'
import { parseOutput, type BuildOutput } from '../../src/builder/output-spec.js'
import { whyPath } from '../../src/builder/why.js'
import { loadArchive, readImage } from '../../src/oci/index.js'
import { createMemoryStore, encodeTar, openDiskStore, scanTar } from '../../src/store/index.js'
import { openTree, UnionView } from '../../src/unionfs/index.js'
import { findProgram, peerTest } from '../peers.js'
import { addImage, buildCase, fixedEnv, textOf, treeOf } from './fixtures.js'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'lamella-output-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const APP = {
  dockerfile: 'FROM scratch\nCOPY d /o\nCMD ["x"]\n',
  context: { 'd/a': '=1 ', 'd/l': '->a', 'd/x': '755 =2' },
}

function output(...outputs: readonly BuildOutput[]) {
  return buildCase({ ...APP, options: { outputs, tags: ['app:1'] } })
}

describe('outputs', () => {
  test('type=local: the files', async () => {
    const dest = join(folder(), 'out')
    await output({ type: 'local', dest })
    expect(readdirSync(join(dest, 'o')).toSorted()).toEqual(['a', 'l', 'x'])
    expect(readFileSync(join(dest, 'o/l'), 'utf8')).toBe('1 ')
    expect(statSync(join(dest, 'o/x')).mode & 0o777).toBe(0o755)
  })

  test('type=local into a folder that has files', async () => {
    const dest = folder()
    mkdirSync(join(dest, 'o'))
    writeFileSync(join(dest, 'o/a'), 'old')
    writeFileSync(join(dest, 'mine'), 'kept')
    await output({ type: 'local', dest })
    expect(readFileSync(join(dest, 'o/a'), 'utf8')).toBe('1 ')
    expect(readFileSync(join(dest, 'mine'), 'utf8')).toBe('kept')
    expect(
      readdirSync(join(dest, '..')).filter((name) => name.startsWith(`${dest.split('/').at(-1)}.`)),
    ).toEqual([])
  })

  test('type=tar: the root file system', async () => {
    const chunks: Uint8Array[] = []
    await output({ type: 'tar', dest: (chunk) => void chunks.push(Uint8Array.from(chunk)) })
    const paths = [...scanTar(Uint8Array.from(Buffer.concat(chunks)))].map(({ path }) =>
      path.replace(/\/$/, ''),
    )
    expect(paths).toEqual(expect.arrayContaining(['o', 'o/a', 'o/l', 'o/x']))
  })

  test.each(['oci', 'docker'] as const)('type=%s: an archive that can be loaded', async (type) => {
    const dest = join(folder(), 'deep/app.tar')
    const { config, tree } = await output({ type, dest, names: ['more'] })
    const other = createMemoryStore()
    const loaded = await loadArchive(other, createReadStream(dest))
    expect(loaded.flatMap(({ names }) => names).toSorted()).toEqual(['app:1', 'more:latest'])
    const image = await readImage(other.blobs, loaded[0]!.descriptor)
    expect(image.config).toEqual(config)
    expect(textOf(await openTree(other, image.layers), true)).toEqual(textOf(tree, true))
    expect(readdirSync(join(dest, '..'))).toEqual(['app.tar'])
  })

  test('type=oci,tar=false: a layout', async () => {
    const dest = join(folder(), 'layout')
    const { config } = await output({ type: 'oci', dest, tar: false })
    await using layout = await openDiskStore(dest, { create: false })
    const found = await readImage(layout.blobs, (await layout.refs.get('app:1'))!)
    expect(found.config).toEqual(config)
  })

  test('compressed layers', async () => {
    const dest = join(folder(), 'layout')
    await output({ type: 'oci', dest, tar: false, compression: 'gzip' })
    await using layout = await openDiskStore(dest, { create: false })
    const image = await readImage(layout.blobs, (await layout.refs.get('app:1'))!)
    expect(image.manifest.layers[0]!.mediaType).toBe('application/vnd.oci.image.layer.v1.tar+gzip')
  })

  peerTest('skopeo reads the archives', findProgram('skopeo') !== undefined, async () => {
    const path = folder()
    const { configDigest } = await output(
      { type: 'oci', dest: join(path, 'oci.tar') },
      { type: 'docker', dest: join(path, 'docker.tar') },
    )
    const inspect = (name: string) =>
      JSON.parse(execFileSync('skopeo', ['inspect', '--raw', name], { encoding: 'utf8' })) as {
        config: { digest: string }
      }
    expect(inspect(`oci-archive:${path}/oci.tar`).config.digest).toBe(configDigest)
    expect(inspect(`docker-archive:${path}/docker.tar`).config.digest).toBe(configDigest)
  })

  test('nothing is left of an output that fails', async () => {
    const path = folder()
    writeFileSync(join(path, 'file'), '')
    await expect(output({ type: 'tar', dest: join(path, 'file/x.tar') })).rejects.toThrow()
    expect(readdirSync(path)).toEqual(['file'])
  })

  // docker buildx build --output
  test.each([
    ['out', { type: 'local', dest: 'out' }],
    ['-', { type: 'tar' }],
    ['type=local,dest=a', { type: 'local', dest: 'a' }],
    ['type=tar,dest=a.tar', { type: 'tar', dest: 'a.tar' }],
    ['type=oci,dest=a.tar', { type: 'oci', dest: 'a.tar', tar: true }],
    ['type=oci,tar=false,dest=a', { type: 'oci', dest: 'a', tar: false }],
    ['type=docker', { type: 'image' }],
    ['type=docker,name=a', { type: 'image', names: ['a'] }],
    ['type=cacheonly', { type: 'image' }],
    ['', { type: 'image' }],
    ['dest=x', { type: 'local', dest: 'dest=x' }],
    ['type=docker,dest=-', { type: 'docker' }],
    ['type=oci,dest=a,compression=zstd,name=x:1', { type: 'oci', compression: 'zstd', names: ['x:1'] }],
    ['type=image,name=a', { type: 'image', names: ['a'] }],
  ])('--output %s', (text, want) => {
    expect(parseOutput(text, () => {}).output).toMatchObject(want)
  })

  test('--output …,rewrite-timestamp=true', () => {
    expect(parseOutput('type=image,rewrite-timestamp=true', () => {}).rewriteTimestamp).toBe(true)
  })

  test.each([
    'type=nope',
    'type=local',
    'type=oci,tar=false',
    'type=oci,tar=maybe',
    'type=oci,=x',
    'type=oci,compression=rar',
    'dest=x,tar=true',
    'type=image,push=true',
    'type=registry,name=x',
    'out,1',
    'type=local,dest=-',
    'type=oci,"dest=x',
    'type=oci,dest=x,compression-level=10',
    'type=oci,dest=x,compression=zstd,compression-level=23',
    'type=oci,dest=x,compression=gzip,compression-level=-1',
    'type=oci,dest=x,annotation-index.a=1',
    'type=oci,dest=x,annotation-nope.a=1',
  ])('--output %s is refused', (text) => {
    expect(() => parseOutput(text, () => {})).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
  })
})

describe('why', () => {
  test('names the instruction that wrote a file, and those before', async () => {
    const { store, image } = await buildCase({
      base: { f: '=0', 'd/old': '=1' },
      context: { f: '=1' },
      dockerfile: 'FROM base\nCOPY f /\nRUN write /d/new 1; rm /d/old\nRUN write /f 2\n',
    })
    const read = await readImage(store.blobs, image)
    const events = async (path: string) =>
      (await whyPath(store, read, path)).events.map(
        ({ change, createdBy, layer }) => `${layer} ${change} ${createdBy}`,
      )
    expect(await events('/f')).toEqual([
      '3 C RUN /bin/sh -c write /f 2 # buildkit',
      '1 C COPY f / # buildkit',
      '0 A base',
    ])
    expect(await events('d/old')).toEqual([
      '2 D RUN /bin/sh -c write /d/new 1; rm /d/old # buildkit',
      '0 A base',
    ])
    expect(await events('/d/new')).toEqual(['2 A RUN /bin/sh -c write /d/new 1; rm /d/old # buildkit'])
    expect(await events('/never')).toEqual([])
  })

  test('follows symlinks on the way', async () => {
    const { store, image } = await buildCase({
      base: { 'usr/bin/x': '=1', bin: '->usr/bin' },
      dockerfile: 'FROM base\n',
    })
    const { path, events } = await whyPath(store, await readImage(store.blobs, image), '/bin/x')
    expect(path).toBe('/usr/bin/x')
    expect(events[0]!.entry).toMatchObject({ kind: 'file', mode: 0o644, size: 1 })
  })
})

describe('contexts', () => {
  const dockerfile = 'FROM scratch\nCOPY . /\n'

  test('a tree, a view, a tar', async () => {
    const tree = treeOf({
      Dockerfile: `=${dockerfile}`,
      f: '=1',
      g: '=2',
      '.dockerignore': '=g\n.dockerignore\nDockerfile',
    })
    const entries = [
      {
        kind: 'file',
        path: 'f',
        mode: 0o644,
        uid: 7,
        gid: 7,
        mtimeSec: 0,
        mtimeNsec: 0,
        size: 1,
        content: [Buffer.from('1')],
      } as const,
    ]
    const contexts = [tree, UnionView.open(tree)]
    for (const context of contexts) {
      const store = createMemoryStore({ env: fixedEnv })
      const { layers } = await build({ store, env: fixedEnv, context })
      expect(textOf(await openTree(store, layers), false)).toEqual({ f: '=1' })
    }
    const context = await tarContext(Uint8Array.from(Buffer.concat([...encodeTar(entries)])))
    const store = createMemoryStore({ env: fixedEnv })
    const { layers } = await build({ store, env: fixedEnv, context, dockerfile: { text: dockerfile } })
    expect(Object.keys(textOf(await openTree(store, layers), false))).toEqual(['f'])
  })

  test('ignore rules of a virtual context: exceptions below an ignored folder', async () => {
    const { tree } = await buildCase({
      dockerfile,
      context: { '.dockerignore': '=*\n!d/keep', 'd/keep': '=1', 'd/drop': '=2', 'e/x': '=3' },
    })
    expect(textOf(tree, false)).toEqual({ 'd/': '', 'd/keep': '=1' })
  })

  test('a Dockerfile by path, with an ignore file of its own, which wins', async () => {
    const path = folder()
    for (const [name, text] of Object.entries({
      'prod.Dockerfile': dockerfile,
      'prod.Dockerfile.dockerignore': '*.txt\n*ocker*',
      '.dockerignore': 'f\n',
      f: '1',
      'a.txt': '2',
    })) {
      writeFileSync(join(path, name), text)
    }
    const store = createMemoryStore({ env: fixedEnv })
    const { layers } = await build({
      store,
      env: fixedEnv,
      context: path,
      dockerfile: join(path, 'prod.Dockerfile'),
    })
    expect(Object.keys(textOf(await openTree(store, layers), false))).toEqual(['f'])
  })

  test('a Dockerfile in lower case', async () => {
    const path = folder()
    writeFileSync(join(path, 'dockerfile'), 'FROM scratch\nLABEL a=1\n')
    const { config } = await build({ store: createMemoryStore(), env: fixedEnv, context: path })
    expect(config.config!.Labels).toEqual({ a: '1' })
  })

  test('a symlink that leads out of a host context is never followed', async () => {
    const path = folder()
    const outside = folder()
    writeFileSync(join(outside, 'secret'), 's')
    mkdirSync(join(path, 'd'))
    execFileSync('ln', ['-s', `${outside}/secret`, join(path, 'd/l')])
    execFileSync('ln', ['-s', '../../../../../../etc/passwd', join(path, 'up')])
    const run = (text: string) =>
      build({
        store: createMemoryStore({ env: fixedEnv }),
        env: fixedEnv,
        context: path,
        dockerfile: { text },
      })
    await expect(run('FROM scratch\nCOPY d/l /x\n')).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' })
    await expect(run('FROM scratch\nCOPY up /x\n')).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' })
    const store = createMemoryStore({ env: fixedEnv })
    const { layers } = await build({
      store,
      env: fixedEnv,
      context: path,
      dockerfile: { text: 'FROM scratch\nCOPY d /o\n' },
    })
    expect(textOf(await openTree(store, layers), false)).toEqual({ 'o/': '', 'o/l': `->${outside}/secret` })
  })

  // A local source is a snapshot of its own in BuildKit, so an image on it has its files as the first layer.
  test.each([
    ['COPY', 'FROM files\nCOPY f1 /x\n', { 'd/': '', 'd/n': '=named', x: '=1' }, 2],
    ['COPY --link', 'FROM files\nCOPY --link f1 /x\n', { 'd/': '', 'd/n': '=named', x: '=1' }, 2],
    [
      'RUN',
      'FROM files\nRUN write /x 2\n',
      { 'd/': '', 'd/n': '=named', 'dev/': '', 'proc/': '', 'sys/': '', x: '=2' },
      2,
    ],
    ['config only', 'FROM files\nENV A=1\n', { 'd/': '', 'd/n': '=named' }, 1],
    ['the stage itself', 'FROM scratch\nFROM scratch AS files\n', { 'd/': '', 'd/n': '=named' }, 1],
  ])('a folder as the base: %s', async (_, dockerfile, want, layers) => {
    const path = folder()
    mkdirSync(join(path, 'd'))
    writeFileSync(join(path, 'd/n'), 'named')
    const { tree, config } = await buildCase({
      dockerfile,
      context: { f1: '=1' },
      options: { contexts: { files: path } },
    })
    expect(textOf(tree, false)).toEqual(want)
    expect(config.rootfs.diff_ids).toHaveLength(layers)
    expect(config.history!.filter(({ empty_layer }) => empty_layer !== true)).toHaveLength(layers)
  })

  test("named contexts: a folder, a tree, an image, a layout; under a stage's name they replace it", async () => {
    const path = folder()
    writeFileSync(join(path, 'n'), 'named')
    writeFileSync(join(path, '.dockerignore'), '.dockerignore')
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'other:1', { o: '=other' })
    const layout = join(folder(), 'layout')
    {
      await using target = await openDiskStore(layout, { create: true, durability: 'none' })
      await addImage(target, 'app:latest', { l: '=layout' })
    }
    const { tree } = await buildCase(
      {
        dockerfile: `FROM nothing AS replaced
RUN exit 1
FROM alpine
COPY --from=files . /a
COPY --from=values / /b
COPY --from=image / /c
COPY --from=replaced / /d
COPY --from=lay / /e
`,
        options: {
          contexts: {
            files: path,
            values: treeOf({ v: '=value' }),
            image: 'docker-image://other:1',
            replaced: path,
            'docker.io/library/alpine:latest': 'docker-image://other:1',
            lay: `oci-layout://${layout}`,
          },
        },
      },
      store,
    )
    expect(textOf(tree, false)).toEqual({
      o: '=other',
      'a/': '',
      'a/n': '=named',
      'b/': '',
      'b/v': '=value',
      'c/': '',
      'c/o': '=other',
      'd/': '',
      'd/n': '=named',
      'e/': '',
      'e/l': '=layout',
    })
  })

  test('FROM an OCI layout on disk, whole and by tag; what is not in it is named', async () => {
    const layout = join(folder(), 'layout')
    {
      await using target = await openDiskStore(layout, { create: true, durability: 'none' })
      await addImage(target, 'app:1', { l: '=1' })
      await addImage(target, 'app:2', { l: '=2' })
    }
    // A layout that another program made has nothing of ours, and keeps it so.
    rmSync(join(layout, 'lamella'), { recursive: true, force: true })
    const { tree } = await buildCase({ dockerfile: `FROM oci-layout://${layout}:2\n` })
    expect(textOf(tree, false)).toEqual({ l: '=2' })
    await expect(buildCase({ dockerfile: `FROM oci-layout://${layout}:3\n` })).rejects.toMatchObject({
      code: 'BASE_IMAGE_NOT_FOUND',
      data: { has: ['app:1', 'app:2'] },
    })
    expect(readdirSync(layout).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout'])
  })
})
