// Every miss names what caused it.
import { chmodSync, mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  build,
  buildScope,
  explainSteps,
  formatExplanations,
  predictBuild,
  type BuildOptions,
  type Explanation,
} from '../../src/builder/index.js'
import { createMemoryStore, type Store } from '../../src/store/index.js'
import { executor } from './executor.js'
import { folderOf } from './fixtures.js'

const OPTIMISED = `FROM base
WORKDIR /app
COPY package* .
RUN npm install
COPY . .
RUN npm run build
CMD ["node", "."]
`

const FILES = {
  'package.json': '{}',
  'src/index.ts': 'index',
  'src/lib/a.ts': 'a',
  'src/lib/link': { type: 'symlink', target: 'a.ts' },
} as const

/** A folder that is built again and again, and what each build says. */
async function project(dockerfile = OPTIMISED) {
  const store = createMemoryStore()
  await baseImage(store, 'one')
  const dir = folderOf(FILES)
  writeFileSync(join(dir, 'Dockerfile'), dockerfile)
  writeFileSync(join(dir, '.dockerignore'), 'Dockerfile\n.dockerignore\n')
  const optionsOf = (more: Partial<BuildOptions>): BuildOptions => ({
    store,
    context: dir,
    executor,
    ...more,
  })
  return {
    store,
    dir,
    path: (name: string) => join(dir, name),
    async build(more: Partial<BuildOptions> = {}) {
      const options = optionsOf(more)
      const { steps } = await build(options)
      return byName(explainSteps(steps, { store, scope: buildScope(options) }))
    },
    async predict(more: Partial<BuildOptions> = {}) {
      const options = optionsOf(more)
      return byName(explainSteps(await predictBuild(options), { store, scope: buildScope(options) }))
    },
  }
}

async function baseImage(store: Store, content: string, tag = 'base') {
  await build({ store, dockerfile: { text: `FROM scratch\nCOPY <<E /b\n${content}\nE\n` }, tags: [tag] })
}

/** Explanations by the instruction alone: `COPY . .`. */
function byName(explanations: readonly Explanation[]): Record<string, Explanation> {
  return Object.fromEntries(explanations.map((each) => [each.name.replace(/^\[.*?\] /, ''), each]))
}

test('the first build: nothing was there before', async () => {
  const { build: run } = await project()
  const steps = await run()
  expect(steps['WORKDIR /app']!.reasons).toContainEqual({ kind: 'first-time' })
  expect(steps['RUN npm install']!.outcome).toBe('miss')
})

test('an unchanged build: only hits, without reasons', async () => {
  const { build: run } = await project()
  await run()
  const steps = Object.values(await run()).filter(({ name }) => !name.includes('context'))
  expect(steps.map(({ outcome }) => outcome)).toEqual(steps.map(() => 'hit'))
  expect(steps.flatMap(({ reasons }) => reasons)).toEqual([])
})

describe('a change in the context', () => {
  const changes: Record<string, [(path: (name: string) => string) => void, object]> = {
    content: [
      (path) => writeFileSync(path('src/lib/a.ts'), 'changed'),
      { path: 'src/lib/a.ts', change: 'content' },
    ],
    mode: [
      (path) => chmodSync(path('src/index.ts'), 0o755),
      { path: 'src/index.ts', change: 'mode', before: '644', after: '755' },
    ],
    'a file added': [(path) => writeFileSync(path('src/b.ts'), 'b'), { path: 'src/b.ts', change: 'added' }],
    'a file removed': [
      (path) => unlinkSync(path('src/index.ts')),
      { path: 'src/index.ts', change: 'removed' },
    ],
    'link target': [
      (path) => {
        unlinkSync(path('src/lib/link'))
        symlinkSync('../index.ts', path('src/lib/link'))
      },
      { path: 'src/lib/link', change: 'link target', before: 'a.ts', after: '../index.ts' },
    ],
    'a file that became a directory': [
      (path) => {
        unlinkSync(path('src/index.ts'))
        mkdirSync(path('src/index.ts'))
      },
      { path: 'src/index.ts', change: 'type', before: 'file', after: 'dir' },
    ],
    'a directory with another mode': [
      (path) => chmodSync(path('src/lib'), 0o700),
      { path: 'src/lib', change: 'mode', before: '755', after: '700' },
    ],
  }
  test.each(Object.keys(changes))('%s', async (name) => {
    const { build: run, predict, path } = await project()
    await run()
    const [change, want] = changes[name]!
    change(path)
    const predicted = await predict()
    for (const steps of [predicted, await run()]) {
      expect(steps['RUN npm install']!.outcome).toBe('hit')
      const copy = steps['COPY . .']!
      expect(copy.reasons).toEqual([{ kind: 'file', ...want }])
      expect(copy.cause).toBe(copy.step)
      const last = steps['RUN npm run build']!
      expect(last.reasons).toEqual([{ kind: 'earlier-step', step: copy.step, name: copy.name }])
      expect(last.cause).toBe(copy.step)
      expect(last.cost).toEqual({ ms: expect.any(Number), bytes: expect.any(Number) })
      expect(last.cost!.bytes).toBeGreaterThan(0)
    }
  })

  test('mode and content of one file, in a folder and in a tree', async () => {
    const { build: run, path } = await project()
    await run()
    chmodSync(path('src/index.ts'), 0o755)
    writeFileSync(path('src/index.ts'), 'xedni')
    const want = [
      { kind: 'file', path: 'src/index.ts', change: 'mode', before: '644', after: '755' },
      { kind: 'file', path: 'src/index.ts', change: 'content' },
    ]
    expect((await run())['COPY . .']!.reasons).toEqual(want)
    const text = (mode: string, content: string) =>
      `FROM base AS a\nRUN write /f ${content}\nFROM base AS b\nWORKDIR /src\nCOPY --from=a --chmod=${mode} /f /src/index.ts\n` +
      'FROM base\nCOPY --from=b /src /src\n'
    const { build: again, path: other } = await project(text('644', 'index'))
    const files = async () =>
      (await again())['COPY --from=b /src /src']!.reasons.filter(({ kind }) => kind === 'file')
    await again()
    writeFileSync(other('Dockerfile'), text('755', 'xedni'))
    expect(await files()).toEqual(want)
    writeFileSync(other('Dockerfile'), text('700', 'xedni'))
    expect(await files()).toEqual([{ ...want[0], before: '755', after: '700' }])
  })

  test('the first cause of a long cascade', async () => {
    const { build: run, path } = await project()
    await run()
    writeFileSync(path('package.json'), '{"a":1}')
    const steps = await run()
    const first = steps['COPY package* .']!
    expect(first.reasons).toEqual([{ kind: 'file', path: 'package.json', change: 'content' }])
    expect(steps['RUN npm install']!.cause).toBe(first.step)
    expect(steps['RUN npm run build']!.cause).toBe(first.step)
  })

  test('with many files, all are in the value and the text counts them', async () => {
    const { build: run, path } = await project()
    await run()
    for (let i = 0; i < 20; i++) writeFileSync(path(`src/new${i}.ts`), 'x')
    const copy = (await run())['COPY . .']!
    expect(copy.reasons).toHaveLength(20)
    expect(formatExplanations([copy])).toContain('and 15 more files')
  })
})

describe('a change in the Dockerfile or its arguments', () => {
  const first = async (before: string, after: string, name: string, options: [object, object] = [{}, {}]) => {
    const { build: run, path } = await project(`FROM base\n${before}\n`)
    await run(options[0])
    writeFileSync(path('Dockerfile'), `FROM base\n${after}\n`)
    return (await run(options[1]))[name]!.reasons
  }

  test('text of a RUN', async () => {
    expect(await first('RUN one', 'RUN two', 'RUN two')).toEqual([
      { kind: 'changed', part: 'instruction', before: 'RUN one', after: 'RUN two' },
    ])
  })

  test('a variable', async () => {
    expect(await first('ENV MODE=dev\nRUN x', 'ENV MODE=prod\nRUN x', 'RUN x')).toEqual([
      { kind: 'changed', part: 'env.MODE', before: 'dev', after: 'prod' },
    ])
  })

  test('a variable that came', async () => {
    expect(await first('RUN x', 'ENV MODE=prod\nRUN x', 'RUN x')).toEqual([
      { kind: 'changed', part: 'env.MODE', before: undefined, after: 'prod' },
    ])
  })

  test('an argument', async () => {
    const args = (V: string) => ({ buildArgs: { V } })
    const reasons = await first('ARG V\nRUN x', 'ARG V\nRUN x', 'RUN x', [args('1'), args('2')])
    expect(reasons).toEqual([{ kind: 'changed', part: 'env.V', before: '1', after: '2' }])
  })

  test('the directory', async () => {
    const reasons = await first('WORKDIR /x\nRUN x', 'WORKDIR /y\nRUN x', 'RUN x')
    expect(reasons).toContainEqual({ kind: 'changed', part: 'workdir', before: '/x', after: '/y' })
  })

  test('the destination of a COPY', async () => {
    const reasons = await first('COPY src /x', 'COPY src /y', 'COPY src /y')
    expect(reasons).toContainEqual({ kind: 'changed', part: 'dest', before: '/x', after: '/y' })
  })

  test('an instruction that moved is found where it was', async () => {
    const reasons = await first('RUN a\nRUN b', 'WORKDIR /w\nRUN a\nRUN b', 'RUN b')
    expect(reasons[0]).toMatchObject({ kind: 'changed', part: 'workdir' })
  })
})

describe('an instruction that came', () => {
  const explained = async (before: string, after: string) => {
    const { build: run, path } = await project(`FROM base\n${before}\n`)
    await run()
    writeFileSync(path('Dockerfile'), `FROM base\n${after}\n`)
    return run()
  }
  const kinds = (step: Explanation | undefined) => step!.reasons.map(({ kind }) => kind)

  test('before others of its kind: they are what they were, it is new', async () => {
    const steps = await explained('RUN a\nRUN b', 'RUN new\nRUN a\nRUN b')
    expect(kinds(steps['RUN new'])).toEqual(['first-time'])
    expect(kinds(steps['RUN a'])).toEqual(['earlier-step'])
    expect(kinds(steps['RUN b'])).toEqual(['earlier-step'])
  })

  test('an instruction that stands in another stage as well has not moved there', async () => {
    const steps = await explained(
      'RUN one\nFROM base\nCOPY --from=0 / /a\nRUN one',
      'RUN one\nFROM base\nCOPY --from=0 / /a\nRUN two',
    )
    expect(steps['RUN two']!.reasons).toEqual([
      { kind: 'changed', part: 'instruction', before: 'RUN one', after: 'RUN two' },
    ])
  })

  test('nor has one that stands twice in its own', async () => {
    const steps = await explained('RUN one\nRUN one', 'RUN one\nRUN two')
    expect(kinds(steps['RUN two'])).toEqual(['changed'])
  })

  test('in the place of one of another kind', async () => {
    const steps = await explained('WORKDIR /w\nRUN b', 'COPY src /src\nRUN b')
    expect(kinds(steps['COPY src /src'])).toEqual(['first-time'])
  })

  test('a COPY of something else: its source, not the files of both', async () => {
    const steps = await explained('COPY src /x', 'COPY package.json /x')
    expect(steps['COPY package.json /x']!.reasons).toMatchObject([
      { kind: 'changed', part: 'source', before: 'src', after: 'package.json' },
    ])
  })
})

test('a dry run names what a mount of a later step would read, too', async () => {
  const {
    build: run,
    predict,
    path,
  } = await project('FROM base\nRUN one\nRUN --mount=source=src,target=/s two\n')
  await run()
  writeFileSync(path('Dockerfile'), 'FROM base\nRUN other\nRUN --mount=source=src,target=/s two\n')
  writeFileSync(path('src/index.ts'), 'changed')
  const name = 'RUN --mount=source=src,target=/s two'
  const predicted = (await predict())[name]!.reasons
  expect(predicted[0]).toEqual({ kind: 'file', path: 'src/index.ts', change: 'content' })
  expect((await run())[name]!.reasons).toEqual(predicted)
})

describe('base images', () => {
  test('the same name with other layers', async () => {
    const { build: run, store } = await project('FROM base\nRUN x\n')
    await run()
    await baseImage(store, 'two')
    const steps = await run()
    const base = Object.values(steps).find(({ name }) => name.includes('FROM'))!
    expect(base.reasons).toEqual([
      {
        kind: 'base-image',
        before: expect.stringContaining('sha256:'),
        after: expect.stringContaining('sha256:'),
      },
    ])
    expect(steps['RUN x']!.cause).toBe(base.step)
  })

  test('another image that is known already', async () => {
    const { build: run, store, path } = await project('FROM base\nRUN x\n')
    await baseImage(store, 'other', 'other')
    await run()
    writeFileSync(path('Dockerfile'), 'FROM other\nRUN y\n')
    await run()
    writeFileSync(path('Dockerfile'), 'FROM other\nRUN x\n')
    const reasons = (await run())['RUN x']!.reasons
    expect(reasons.map(({ kind }) => kind)).not.toContain('result-gone')
  })
})

describe('a cascade through other stages', () => {
  const BUILD = 'FROM base AS make\nCOPY src /src\nRUN write /out $(cat)\n'

  test('a COPY --from names the files, the step that made them, and the first cause', async () => {
    const text = (command: string) =>
      `FROM base AS make\nCOPY src /src\nRUN ${command}\nFROM base\nCOPY --from=make /out /o\nRUN use\n`
    const { build: run, path } = await project(text('write /out x'))
    await run()
    writeFileSync(path('Dockerfile'), text('write /out y'))
    const steps = await run()
    const make = steps['RUN write /out y']!
    const copy = steps['COPY --from=make /out /o']!
    expect(copy.reasons).toEqual([
      { kind: 'file', path: 'out', change: 'content' },
      { kind: 'earlier-step', step: make.step, name: make.name },
    ])
    expect([copy.cause, steps['RUN use']!.cause]).toEqual([make.step, make.step])
  })

  test('a step whose stage gave the same files again follows nothing', async () => {
    const text = (command: string) => `${BUILD}FROM base\nCOPY --from=make /out /o\nRUN ${command}\n`
    const { build: run, path } = await project(text('one'))
    await run()
    writeFileSync(path('src/index.ts'), 'changed')
    writeFileSync(path('Dockerfile'), text('two'))
    const steps = await run()
    expect(steps['COPY --from=make /out /o']!.outcome).toBe('hit')
    expect(steps['RUN two']!.reasons.map(({ kind }) => kind)).toEqual(['changed'])
    expect(steps['RUN two']!.cause).toBe(steps['RUN two']!.step)
  })

  // COPY --from has the key of the step that made the files, when both stand on the same: it is a hit, of another result.
  test('an input that is a hit, and yet not what it was, says what it differs in', async () => {
    const { build: run, path } = await project(
      'FROM base AS make\nCOPY src /src\nFROM base\nCOPY --from=make /src /src\nRUN use\n',
    )
    await run()
    writeFileSync(path('src/index.ts'), 'changed')
    const steps = await run()
    const copy = steps['COPY --from=make /src /src']!
    const use = steps['RUN use']!
    expect(copy.outcome).toBe('hit')
    const file = { kind: 'file', path: 'src/index.ts', change: 'content' }
    expect(use.reasons).toEqual([
      { kind: 'input', step: copy.step, name: copy.name, before: copy.name, reasons: [file] },
    ])
    expect(use.cause).toBe(steps['COPY src /src']!.step)
    expect(formatExplanations([use])).toMatch(
      /stands on another result of #\d+ \[.*COPY --from=make \/src \/src than before\n {7}\/src\/index.ts: content\n/,
    )
  })

  test('an input that goes back to an earlier state, several steps deep', async () => {
    const { build: run, path } = await project('FROM base\nCOPY src /src\nRUN one\nRUN two\n')
    await run({ tags: ['a'] })
    writeFileSync(path('src/index.ts'), 'changed')
    await run()
    writeFileSync(path('Dockerfile'), 'FROM base\nCOPY src /src\nRUN one\nRUN three\n')
    await run()
    writeFileSync(path('src/index.ts'), 'index')
    const steps = await run()
    expect([steps['COPY src /src']!.outcome, steps['RUN one']!.outcome]).toEqual(['hit', 'hit'])
    const three = steps['RUN three']!
    expect(three.reasons).toMatchObject([
      {
        kind: 'input',
        step: steps['RUN one']!.step,
        reasons: [{ kind: 'file', path: 'src/index.ts', change: 'content' }],
      },
    ])
    expect(three.cause).toBe(steps['COPY src /src']!.step)
  })
})

test('a COPY that is written otherwise and means the same has no part in a miss', async () => {
  const { build: run, path } = await project('FROM base\nCOPY src /src\n')
  await run()
  writeFileSync(path('Dockerfile'), 'FROM base\nCOPY ./src /src\n')
  writeFileSync(path('src/index.ts'), 'changed')
  const reasons = (await run())['COPY ./src /src']!.reasons
  expect(reasons).toEqual([{ kind: 'file', path: 'src/index.ts', change: 'content' }])
})

test('--no-cache', async () => {
  const { build: run } = await project()
  await run()
  expect((await run({ noCache: true }))['RUN npm install']!.reasons).toEqual([{ kind: 'no-cache' }])
})

test('layers that are gone', async () => {
  const { build: run, store } = await project('FROM base\nRUN x\n')
  await run()
  const image = (await store.refs.list())[0]!
  expect(image.name).toContain('base')
  for await (const { digest } of store.blobs.list()) {
    // Only the layer of RUN x is neither of the base image nor a document of an image.
    const bytes: Uint8Array[] = []
    for await (const chunk of store.blobs.get(digest)) bytes.push(chunk)
    if (Buffer.concat(bytes).includes('ran')) await store.blobs.delete(digest)
  }
  expect((await run())['RUN x']!.reasons).toEqual([{ kind: 'result-gone' }])
})

test('a dry run says what decides', async () => {
  const {
    predict,
    build: run,
    path,
  } = await project('FROM base AS make\nRUN write /out x\nFROM base\nCOPY --from=make /out /o\nRUN use\n')
  await run()
  writeFileSync(
    path('Dockerfile'),
    'FROM base AS make\nRUN write /out y\nFROM base\nCOPY --from=make /out /o\nRUN use\n',
  )
  const steps = await predict()
  const make = steps['RUN write /out y']!
  const copy = steps['COPY --from=make /out /o']!
  expect([make.outcome, copy.outcome, steps['RUN use']!.outcome]).toEqual(['miss', 'unknown', 'unknown'])
  expect(copy.reasons).toEqual([{ kind: 'undecided', step: make.step, name: make.name }])
  expect(steps['RUN use']!.cause).toBe(make.step)
})

test('an explanation as text', async () => {
  const { build: run, path } = await project()
  await run()
  writeFileSync(path('src/index.ts'), 'changed')
  const steps = Object.values(await run())
  const text = formatExplanations(steps)
  expect(text).toMatch(/MISS {4}\[5\/6\] COPY \. \.\n {5}\/src\/index\.ts: content\n {5}last time: /)
  expect(text).toMatch(/HIT {5}\[4\/6\] RUN npm install\n/)
})

test('names that would break the text, or steer a terminal, are shown with \\x', async () => {
  const { build: run, path } = await project()
  await run()
  writeFileSync(path('src/a\nMISS \u001b[31m'), 'x')
  const text = formatExplanations(Object.values(await run()))
  expect(text).toContain('     /src/a\\x0aMISS \\x1b[31m: added\n')
  expect(text).not.toContain('\u001b')
})

test('a document of megabytes is no obstacle', async () => {
  const document = (text: string) => `FROM base\nCOPY <<E /f\n${`${text}\n`.repeat(200_000)}E\n`
  const { build: run, path } = await project(document('0123456789'))
  await run()
  writeFileSync(path('Dockerfile'), document('1234567890'))
  const reasons = Object.values(await run()).flatMap((step) => step.reasons)
  expect(reasons.length).toBeGreaterThan(0)
  expect(JSON.stringify(reasons).length).toBeLessThan(10_000)
})

test('explaining writes nothing', async () => {
  const { build: run, predict, store, path } = await project()
  await run()
  writeFileSync(path('src/index.ts'), 'changed')
  const before = [...store.records.keys('')].length
  await predict()
  expect([...store.records.keys('')]).toHaveLength(before)
})
