// The observed truth table of BuildKit's cache (facts 2.3): two builds each, a change between them, and what the second
// build finds. Every row runs against real files in a folder and the real planner and operations.
import { chmodSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { build, type BuildOptions } from '../../src/builder/index.js'
import { createMemoryStore, type Store } from '../../src/store/index.js'
import { executor } from './executor.js'
import { folderOf, tempFolder, type TreeSpec } from './fixtures.js'

const FILES: TreeSpec = {
  f1: '1',
  f2: '2',
  'd/a': 'a',
  'd/s/b': 'b',
  'd/l': { type: 'symlink', target: 'a' },
  'e/f1': '1',
  unrelated: 'u',
}

interface Side {
  readonly dockerfile: string
  readonly options?: Partial<BuildOptions>
  /** What happens to the folder before this build. */
  readonly edit?: (dir: string) => void
}

async function buildSide(store: Store, dir: string, side: Side) {
  side.edit?.(dir)
  const dockerfile = { text: `FROM base\n${side.dockerfile}\n`, name: 'Dockerfile' }
  const { steps } = await build({ store, context: dir, dockerfile, executor, ...side.options })
  return steps
}

/** The outcome of the step with the second side's marked instruction, or of the last step. */
async function secondBuild(first: Side, second: Side, marked?: RegExp) {
  const store = createMemoryStore()
  await build({
    store,
    context: folderOf({ 'etc/passwd': 'root:x:0:0::/root:/bin/sh\napp:x:5:6::/home/app:/bin/sh\n' }),
    dockerfile: { text: 'FROM scratch\nCOPY . /\n' },
    tags: ['base'],
  })
  const dir = folderOf(FILES)
  await buildSide(store, dir, first)
  const steps = await buildSide(store, dir, second)
  const step =
    marked === undefined ? steps.at(-1)! : steps.find(({ vertex }) => marked.test(vertex.label.name))
  return step?.outcome === 'hit' ? 'HIT' : step?.outcome === 'miss' ? 'MISS' : step?.outcome
}

/** Name, first build, second build, and which step of the second is meant (default: the last). */
type Row = readonly [name: string, first: Side | string, second: Side | string, marked?: RegExp]

const side = (given: Side | string): Side => (typeof given === 'string' ? { dockerfile: given } : given)
const run = async ([, first, second, marked]: Row) => secondBuild(side(first), side(second), marked)

const write = (path: string, text: string) => (dir: string) => writeFileSync(join(dir, path), text)
const edited = (dockerfile: string, edit: (dir: string) => void): [Side, Side] => [
  { dockerfile },
  { dockerfile, edit },
]
const withOptions = (
  dockerfile: string,
  first: Partial<BuildOptions>,
  second: Partial<BuildOptions>,
): [Side, Side] => [
  { dockerfile, options: first },
  { dockerfile, options: second },
]
const ignore = (text: string) => (dir: string) => writeFileSync(join(dir, '.dockerignore'), text)

/** `d2` with what `d` has. */
const copyOfD = (dir: string) => {
  folderOf({ 'd2/a': 'a', 'd2/s/b': 'b', 'd2/l': { type: 'symlink', target: 'a' } }, dir)
}

const producer = (command: string, consumer: string, name = 'p') =>
  `RUN true\nFROM base AS ${name}\nRUN write /out x && write /other ${command}\nFROM base\n${consumer.replaceAll('STAGE', name)}`

const HITS: Row[] = [
  ['nothing changed', 'COPY f1 /o/\nRUN a', 'COPY f1 /o/\nRUN a'],
  ['mtime of a source', ...edited('COPY f1 d /o/', (dir) => utimesSync(join(dir, 'f1'), 1, 1))],
  ['an unrelated file', ...edited('COPY f1 /o/', write('unrelated', 'changed'))],
  [
    'an ignored file',
    { dockerfile: 'COPY . /o/', edit: ignore('unrelated\n.dockerignore') },
    { dockerfile: 'COPY . /o/', edit: write('unrelated', 'changed') },
  ],
  ['an excluded file', ...edited('COPY --exclude=s d /o/', write('d/s/b', 'changed'))],
  ['an excluded file that a symlink points at', ...edited('COPY --exclude=a d /o/', write('d/a', 'changed'))],
  ['a file that a wildcard does not match', ...edited('COPY f* /o/', write('unrelated', 'changed'))],
  ['the same file under another directory', 'COPY f1 /o/', 'COPY e/f1 /o/'],
  [
    'a bind mount source renamed, content the same',
    'RUN --mount=type=bind,source=d,target=/m true',
    {
      dockerfile: 'RUN --mount=type=bind,source=d2,target=/m true',
      edit: copyOfD,
    },
  ],
  [
    'producer rewritten, copied path identical',
    producer('one', 'COPY --from=STAGE /out /o'),
    producer('two', 'COPY --from=STAGE /out /o'),
  ],
  [
    'producer rewritten, mounted path identical',
    producer('one', 'RUN --mount=from=STAGE,source=/out,target=/m use'),
    producer('two', 'RUN --mount=from=STAGE,source=/out,target=/m use'),
  ],
  [
    'stage renamed',
    producer('one', 'COPY --from=STAGE /out /o', 'p'),
    producer('one', 'COPY --from=STAGE /out /o', 'q'),
  ],
  ['a comment in between', 'COPY f1 /o\nRUN a', '# note\nCOPY f1 /o\n# note\nRUN a'],
  ['LABEL in between', 'COPY f1 /o\nRUN a', 'COPY f1 /o\nLABEL a=b\nRUN a'],
  ['EXPOSE in between', 'COPY f1 /o\nRUN a', 'COPY f1 /o\nEXPOSE 80\nRUN a'],
  ['CMD in between', 'COPY f1 /o\nRUN a', 'COPY f1 /o\nCMD x\nRUN a'],
  ['ENV before a COPY', 'COPY f1 /o', 'ENV A=1\nCOPY f1 /o'],
  ['ENV set again to the value it had', 'ENV A=1\nRUN a', 'ENV A=1\nENV A=1\nRUN a'],
  ['shell form and exec form of one argv', 'RUN a b', 'RUN ["/bin/sh", "-c", "a b"]'],
  ['an undeclared build argument', ...withOptions('RUN a', {}, { buildArgs: { OTHER: '1' } })],
  [
    'an argument that is declared later',
    ...withOptions('RUN a\nARG X\nRUN b', { buildArgs: { X: '1' } }, { buildArgs: { X: '2' } }),
    /RUN a/,
  ],
  ['HTTP_PROXY', ...withOptions('RUN a', {}, { buildArgs: { HTTP_PROXY: 'http://x' } })],
  [
    'the address of --add-host',
    ...withOptions('RUN a', { extraHosts: ['h:1.1.1.1'] }, { extraHosts: ['h:2.2.2.2'] }),
  ],
  [
    'id of a cache mount',
    'RUN --mount=type=cache,id=a,target=/m x',
    'RUN --mount=type=cache,id=b,target=/m x',
  ],
  [
    'value of a secret',
    ...withOptions('RUN --mount=type=secret,id=s x', { secrets: { s: '1' } }, { secrets: { s: '2' } }),
  ],
  [
    'a secret that comes to be',
    ...withOptions('RUN --mount=type=secret,id=s x', {}, { secrets: { s: '2' } }),
  ],
  ['delimiter of a here-document of RUN', 'RUN <<A\nx\nA', 'RUN <<B\nx\nB'],
  [
    'a named symlink pointed at equal content',
    { dockerfile: 'COPY link /o', edit: (dir) => symlinkSync('f1', join(dir, 'link')) },
    {
      dockerfile: 'COPY link /o',
      edit: (dir) => {
        unlinkSync(join(dir, 'link'))
        symlinkSync('e/f1', join(dir, 'link'))
      },
    },
  ],
  [
    '.dockerignore edited when it ignores itself',
    { dockerfile: 'COPY . /o', edit: ignore('.dockerignore') },
    { dockerfile: 'COPY . /o', edit: ignore('# note\n.dockerignore') },
  ],
]

const MISSES: Row[] = [
  ['file mode', ...edited('COPY f1 /o', (dir) => chmodSync(join(dir, 'f1'), 0o600))],
  ['content', ...edited('COPY f1 /o', write('f1', 'changed'))],
  ['base name', 'COPY f1 /o', { dockerfile: 'COPY f3 /o', edit: write('f3', '1') }],
  ['directory name', 'COPY d /o', { dockerfile: 'COPY d2 /o', edit: copyOfD }],
  ['destination', 'COPY f1 /o', 'COPY f1 /p'],
  ['--chown', 'COPY f1 /o', 'COPY --chown=5:6 f1 /o'],
  ['--chown by name', 'COPY f1 /o', 'COPY --chown=app f1 /o'],
  ['--chmod', 'COPY f1 /o', 'COPY --chmod=600 f1 /o'],
  ['a wildcard spelled differently', 'COPY f* /o/', 'COPY f? /o/'],
  ['a name and a wildcard that matches only it', 'COPY f1 /o/', 'COPY f1* /o/'],
  ['a file added to a match', ...edited('COPY f* /o/', write('f3', '3'))],
  ['a file added to a directory', ...edited('COPY d /o/', write('d/c', 'c'))],
  [
    'a symlink inside a directory retargeted',
    ...edited('COPY d /o/', (dir) => {
      unlinkSync(join(dir, 'd/l'))
      symlinkSync('s/b', join(dir, 'd/l'))
    }),
  ],
  ['one more blank in RUN', 'RUN a b', 'RUN a  b'],
  ['a variable before RUN', 'ENV A=1\nRUN a', 'ENV A=2\nRUN a'],
  ['order of variables before RUN', 'ENV A=1 B=2\nRUN a', 'ENV B=2 A=1\nRUN a'],
  [
    'a declared argument before RUN',
    ...withOptions('ARG X\nRUN a', { buildArgs: { X: '1' } }, { buildArgs: { X: '2' } }),
  ],
  ['WORKDIR before RUN', 'WORKDIR /a\nRUN a', 'WORKDIR /b\nRUN a'],
  ['USER before RUN', 'RUN a', 'USER app\nRUN a'],
  ['SHELL before RUN', 'RUN a', 'SHELL ["/bin/bash", "-c"]\nRUN a'],
  ['a cache mount added', 'RUN x', 'RUN --mount=type=cache,target=/m x'],
  ['target of a cache mount', 'RUN --mount=type=cache,target=/m x', 'RUN --mount=type=cache,target=/n x'],
  [
    'size of a tmpfs',
    'RUN --mount=type=tmpfs,target=/m,size=1m x',
    'RUN --mount=type=tmpfs,target=/m,size=2m x',
  ],
  ['an earlier layer, for COPY', 'RUN a\nCOPY f1 /o', 'RUN b\nCOPY f1 /o'],
  ['an earlier layer, for RUN', 'COPY f1 /o\nRUN a', 'COPY f2 /o\nRUN a'],
  ['order of COPYs', 'COPY f1 /o\nCOPY f2 /o', 'COPY f2 /o\nCOPY f1 /o'],
  ['order of sources', 'COPY f1 f2 /o/', 'COPY f2 f1 /o/'],
  [
    '.dockerignore edited under COPY .',
    { dockerfile: 'COPY . /o', edit: ignore('nothing') },
    { dockerfile: 'COPY . /o', edit: ignore('nothing\n# note') },
  ],
  ['delimiter of a here-document of COPY', 'COPY <<A /o/\nx\nA', 'COPY <<B /o/\nx\nB'],
]

const named = (rows: readonly Row[]) => rows.map((row) => ({ name: row[0], row }))

describe('HIT', () => {
  test.each(named(HITS))('$name', async ({ row }) => expect(await run(row)).toBe('HIT'))
})

describe('MISS', () => {
  test.each(named(MISSES))('$name', async ({ row }) => expect(await run(row)).toBe('MISS'))
})

describe('--link', () => {
  test('a changed RUN below leaves the copied layer as it is, and only the merge is made again', async () => {
    const store = createMemoryStore()
    await build({ store, dockerfile: { text: 'FROM scratch\nCOPY <<E /b\nx\nE\n' }, tags: ['base'] })
    const dir = folderOf(FILES)
    const linked = async (command: string) =>
      build({
        store,
        context: dir,
        executor,
        dockerfile: { text: `FROM base\nRUN ${command}\nCOPY --link f1 /o/\n` },
      })
    const first = await linked('one')
    const second = await linked('two')
    expect(second.layers.at(-1)!.diffID).toBe(first.layers.at(-1)!.diffID)
    expect(second.layers.at(-2)!.diffID).not.toBe(first.layers.at(-2)!.diffID)
    const outcomes = second.steps.map(({ vertex, outcome }) => [vertex.op.kind, outcome])
    expect(outcomes).toContainEqual(['merge', 'miss'])
    expect(outcomes).toContainEqual(['file', 'hit'])
  })
})

test('an image that was built again with the same layers hits', async () => {
  const store = createMemoryStore()
  const base = async (label: string) =>
    build({
      store,
      dockerfile: { text: `FROM scratch\nCOPY <<E /b\nx\nE\nLABEL l=${label}\n` },
      tags: ['base'],
    })
  const app = () =>
    build({ store, executor, context: tempFolder(), dockerfile: { text: 'FROM base\nRUN a\n' } })
  await base('one')
  await app()
  await base('two')
  expect((await app()).steps.map(({ outcome }) => outcome)).toEqual(['hit', 'hit'])
})
