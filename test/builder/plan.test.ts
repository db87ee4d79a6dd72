// Planning: config and history of every instruction, stages, arguments, names in progress, errors with their place.
import { describe, expect, test } from 'vitest'
import { readImage } from '../../src/oci/index.js'
import { createMemoryStore } from '../../src/store/index.js'
import { CONFIG_ROWS } from './data/plan.js'
import {
  addImage,
  buildCase,
  failureOf,
  fixedEnv,
  outputRecorder,
  textOf,
  treeOf,
  type Case,
} from './fixtures.js'

const CONTEXT = { f1: '=1', 'd/a': '=a' }

async function configOf(it: Case) {
  const { config } = await buildCase({ context: CONTEXT, ...it })
  return config
}

function historyOf(config: {
  readonly history?: readonly { created_by?: string; empty_layer?: boolean }[]
}): string[] {
  return (config.history ?? []).map(
    (entry) => `${entry.created_by}${entry.empty_layer === true ? ' (empty)' : ''}`,
  )
}

describe('config and history', () => {
  test.each(CONFIG_ROWS)('$rule', async ({ lines, want, history }) => {
    const config = await configOf({ dockerfile: `FROM scratch\n${lines}\n` })
    for (const [field, value] of Object.entries(want)) {
      expect({ [field]: config.config![field as 'Env'] }).toEqual({ [field]: value })
    }
    if (history !== undefined) expect(historyOf(config)).toEqual(history)
    expect(config.history!.filter(({ empty_layer }) => empty_layer !== true)).toHaveLength(
      config.rootfs.diff_ids.length,
    )
    for (const entry of config.history!) expect(entry.comment).toBe('buildkit.dockerfile.v0')
  })

  test('MAINTAINER is the author', async () => {
    expect(await configOf({ dockerfile: 'FROM scratch\nMAINTAINER ann\n' })).toMatchObject({ author: 'ann' })
  })

  // convert.go dispatchEntrypoint: an inherited CMD goes, config of the base stays otherwise.
  test('a base image gives config and history', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(
      store,
      'base:latest',
      { a: '=1' },
      {
        Env: ['PATH=/bin', 'A=1'],
        Cmd: ['old'],
        Entrypoint: ['/e'],
        WorkingDir: '/w',
        User: 'ann',
        Labels: { x: 'y' },
        ExposedPorts: { '1/tcp': {} },
      },
    )
    const { config } = await buildCase(
      { dockerfile: 'FROM base\nENTRYPOINT ["/n"]\nLABEL z=1\nCOPY f1 .\n', context: CONTEXT },
      store,
    )
    expect(config.config).toEqual({
      Env: ['PATH=/bin', 'A=1'],
      Entrypoint: ['/n'],
      WorkingDir: '/w',
      User: 'ann',
      Labels: { x: 'y', z: '1' },
      ExposedPorts: { '1/tcp': {} },
    })
    expect(historyOf(config)).toEqual([
      'base',
      'ENTRYPOINT ["/n"] (empty)',
      'LABEL z=1 (empty)',
      'COPY f1 . # buildkit',
    ])
    expect(config.rootfs.diff_ids).toHaveLength(2)
  })

  test('a base without PATH gets one', async () => {
    const config = await configOf({ dockerfile: 'FROM base\nLABEL a=1\n', base: { a: '=1' } })
    expect(config.config!.Env).toEqual(['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'])
  })

  test('labels and platform of the options', async () => {
    const config = await configOf({
      dockerfile: 'FROM scratch\nLABEL a=1\n',
      options: {
        labels: { a: '2', b: '3' },
        platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
      },
    })
    expect(config).toMatchObject({ os: 'linux', architecture: 'arm64' })
    expect(config.variant).toBeUndefined() // platforms.Normalize: v8 goes without saying
    expect(config.config!.Labels).toEqual({ a: '2', b: '3' })
  })

  test('what is written is a valid image', async () => {
    const { store, image } = await buildCase({
      dockerfile: 'FROM base\nCOPY . /\n',
      base: { a: '=1' },
      context: CONTEXT,
    })
    const read = await readImage(store.blobs, image)
    expect(read.layers).toHaveLength(2)
    expect(read.manifest.layers.every(({ annotations }) => annotations === undefined)).toBe(true)
  })

  test('a layer of nothing is a layer', async () => {
    const config = await configOf({ dockerfile: 'FROM scratch\nCOPY z* /o/\nCOPY f1 /\n' })
    // sha256 of 1,024 zero bytes, a tar without entries
    expect(config.rootfs.diff_ids[0]).toBe(
      'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef',
    )
  })
})

/** Values that RUN sees. */
async function environment(dockerfile: string, options: Case['options'] = {}, base = {}): Promise<string> {
  const recorder = outputRecorder()
  await buildCase({ dockerfile, base, options: { onEvent: recorder.onEvent, ...options } })
  return recorder.text().trim().replaceAll('\n', ' ')
}

// facts 1.5
describe('ARG', () => {
  test.each([
    ['own default', 'FROM base\nARG A=1\nRUN env A', {}, '1'],
    ['build-arg wins over the default', 'FROM base\nARG A=1\nRUN env A', { A: '2' }, '2'],
    ['global value needs a declaration', 'ARG A=1\nFROM base\nRUN env A', {}, '(unset)'],
    ['global value, declared', 'ARG A=1\nFROM base\nARG A\nRUN env A', {}, '1'],
    ['own default wins over the global value', 'ARG A=1\nFROM base\nARG A=2\nRUN env A', {}, '2'],
    ['build-arg wins over all', 'ARG A=1\nFROM base\nARG A=2\nRUN env A', { A: '3' }, '3'],
    ['a global build-arg needs a declaration', 'ARG A=1\nFROM base\nRUN env A', { A: '3' }, '(unset)'],
    ['takes effect from its line on', 'FROM base\nENV X=$A\nARG A=1\nRUN env X; env A', {}, ' 1'],
    ['ENV after ARG hides it', 'FROM base\nARG A=1\nENV A=2\nRUN env A', {}, '2'],
    ['ARG after ENV wins [live]', 'FROM base\nENV A=2\nARG A=1\nRUN env A', {}, '1'],
    ['build-arg through ENV ${A:-x}', 'FROM base\nARG A\nENV A=${A:-x}\nRUN env A', { A: 'y' }, 'y'],
    ['default sees earlier variables', 'FROM base\nENV E=e\nARG A=1\nARG B=$A$E\nRUN env B', {}, '1e'],
    ['several on one line', 'FROM base\nARG A=1 B=2\nRUN env A; env B', {}, '1 2'],
    ['inherited by a child stage', 'FROM base AS x\nARG A=1\nFROM x\nRUN env A', {}, '1'],
    ['not inherited by another stage', 'FROM base AS x\nARG A=1\nFROM base\nRUN env A', {}, '(unset)'],
    ['global default sees an earlier global', 'ARG A=1\nARG B=$A-2\nFROM base\nARG B\nRUN env B', {}, '1-2'],
    ['automatic ones must be declared', 'FROM base\nRUN env TARGETARCH', {}, '(unset)'],
    ['automatic: TARGETARCH', 'FROM base\nARG TARGETARCH\nRUN env TARGETARCH', {}, 'amd64'],
    ['automatic: TARGETPLATFORM', 'FROM base\nARG TARGETPLATFORM\nRUN env TARGETPLATFORM', {}, 'linux/amd64'],
    ['automatic: TARGETSTAGE', 'FROM base AS out\nARG TARGETSTAGE\nRUN env TARGETSTAGE', {}, 'out'],
    [
      'automatic: TARGETSTAGE without a name',
      'FROM base\nARG TARGETSTAGE\nRUN env TARGETSTAGE',
      {},
      'default',
    ],
    [
      'SOURCE_DATE_EPOCH is what was given',
      'FROM base\nARG SOURCE_DATE_EPOCH\nRUN env SOURCE_DATE_EPOCH',
      { SOURCE_DATE_EPOCH: '007' },
      '007',
    ],
    [
      'an empty SOURCE_DATE_EPOCH is none, but an argument',
      'FROM base\nARG SOURCE_DATE_EPOCH\nRUN env SOURCE_DATE_EPOCH',
      { SOURCE_DATE_EPOCH: '' },
      '',
    ],
    [
      'automatic ones can be overridden',
      'FROM base\nARG TARGETARCH\nRUN env TARGETARCH',
      { TARGETARCH: 'x' },
      'x',
    ],
    [
      'proxies need no ARG, both cases',
      'FROM base\nRUN env http_proxy; env HTTP_PROXY',
      { HTTP_PROXY: 'p' },
      'p p',
    ],
    ['an undeclared build-arg is not seen', 'FROM base\nRUN env A', { A: '1' }, '(unset)'],
    ['an empty default', 'FROM base\nARG A=\nRUN env A', {}, ''],
  ])('%s', async (_rule, dockerfile, buildArgs, want) => {
    expect(await environment(`${dockerfile}\n`, { buildArgs })).toBe(want.trim())
  })

  test('proxies are not in history', async () => {
    const config = await configOf({
      dockerfile: 'FROM base\nRUN true\n',
      base: {},
      options: { buildArgs: { HTTPS_PROXY: 'secret' } },
    })
    expect(JSON.stringify(config)).not.toContain('secret')
  })
})

describe('stages', () => {
  test('a global ARG names the base', async () => {
    const config = await configOf({
      dockerfile: 'ARG B=base\nFROM ${B}:latest\nLABEL a=1\n',
      base: { a: '=1' },
    })
    expect(config.rootfs.diff_ids).toHaveLength(1)
  })

  test('a stage that nothing needs is not built', async () => {
    const { tree } = await buildCase({
      dockerfile: 'FROM nowhere AS unused\nRUN exit 1\nFROM scratch\nCOPY f1 /x\n',
      context: CONTEXT,
    })
    expect(tree.lookup('x')).toBeDefined()
  })

  test('--target builds one stage; names are compared without case', async () => {
    const dockerfile =
      'FROM scratch AS One\nCOPY f1 /one\nFROM one AS two\nCOPY f1 /two\nFROM scratch\nCOPY f1 /three\n'
    const paths = async (target: string | undefined) => [
      ...(await buildCase({ dockerfile, context: CONTEXT, options: { target } })).tree.root.children!.names(),
    ]
    expect(await paths('one')).toEqual(['one'])
    expect(await paths('TWO')).toEqual(['one', 'two'])
    expect(await paths(undefined)).toEqual(['three'])
  })

  // Live 0.25: --from and --target are compared without case, FROM is not, and what is no stage has to be an image's name
  // even where nothing needs it.
  test.each([
    ['FROM scratch AS One\nCOPY f1 /one\nFROM One\n', 'failed to parse stage name "One"'],
    ['FROM scratch AS one\nFROM ONE AS two\nFROM scratch\nCOPY f1 /\n', 'failed to parse stage name "ONE"'],
    ['FROM bad//name AS unused\nFROM scratch\nCOPY f1 /\n', 'failed to parse stage name "bad//name"'],
  ])('a base with capitals is no stage: %j', async (dockerfile, message) => {
    const error = await failureOf({ dockerfile, context: CONTEXT })
    expect(error).toMatchObject({ code: 'ARGUMENT_INVALID', message: expect.stringContaining(message) })
  })

  test('TARGETSTAGE is what --target says', async () => {
    const dockerfile = 'FROM base AS One\nARG TARGETSTAGE\nRUN env TARGETSTAGE\nFROM base AS last\n'
    expect(await environment(dockerfile, { target: 'one' })).toBe('one')
  })

  // convert.go buildDispatchStates: the context is looked for before the stage's base.
  test("a context under a stage's name wins over an earlier stage, and nothing of the stage runs", async () => {
    const seen: string[] = []
    const { tree } = await buildCase({
      dockerfile: 'FROM nothing AS a\nRUN exit 1\nFROM a AS b\nRUN exit 1\nFROM b\nCOPY f1 /x\n',
      context: CONTEXT,
      options: {
        contexts: { b: treeOf({ v: '=value' }) },
        onEvent: (event) => {
          if (event.kind === 'step-planned') seen.push(event.name)
        },
      },
    })
    expect(textOf(tree, false)).toEqual({ v: '=value', x: '=1' })
    expect(seen.toSorted()).toEqual([
      '[context b] load from client',
      '[internal] load build context',
      '[stage-2 1/1] COPY f1 /x',
    ])
  })

  test('the platform that is asked for keeps variant and version of an image of the same platform', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'arm:1', { a: '=1' }, {}, [], {
      os: 'linux',
      architecture: 'arm',
      variant: 'v6',
    })
    const dockerfile = 'FROM arm:1\nCOPY f1 /\n'
    const platformOf = async (platform: NonNullable<Case['options']>['platform']) => {
      const { config } = await buildCase({ dockerfile, context: CONTEXT, options: { platform } }, store)
      return [config.os, config.architecture, config.variant]
    }
    expect(await platformOf({ os: 'linux', architecture: 'arm' })).toEqual(['linux', 'arm', 'v6'])
    expect(await platformOf(undefined)).toEqual(['linux', 'arm', 'v6'])
  })

  test('of two stages with one name the last counts [live]', async () => {
    const { tree } = await buildCase({
      dockerfile:
        'FROM scratch AS a\nCOPY f1 /one\nFROM scratch AS a\nCOPY f1 /two\nFROM scratch\nCOPY --from=a / /\n',
      context: CONTEXT,
    })
    expect(tree.root.children!.names()).toEqual(['two'])
  })

  test('COPY --from an image that is no stage', async () => {
    const { tree } = await buildCase({
      dockerfile: 'FROM scratch\nCOPY --from=base:latest /a /b\n',
      base: { a: '=1' },
    })
    expect(tree.lookup('b')).toBeDefined()
  })

  // convert.go initOnBuildTriggers
  test('ONBUILD of a base image runs first, in order, once', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'base:latest', {}, { OnBuild: ['COPY f1 /one', 'RUN write /two 2'] })
    const names: string[] = []
    const first = await buildCase(
      {
        dockerfile: 'FROM base\nRUN ls /\n',
        context: CONTEXT,
        options: {
          onEvent: (event) => event.kind === 'step-planned' && names.push(event.name),
          tags: ['child'],
        },
      },
      store,
    )
    expect(first.config.config!.OnBuild).toBeUndefined()
    expect(names.filter((name) => !name.includes('internal'))).toEqual([
      // As in BuildKit: FROM gets its name before the triggers are counted.
      expect.stringContaining('[1/2] FROM docker.io/library/base:latest@sha256:'),
      '[2/4] ONBUILD COPY f1 /one',
      '[3/4] ONBUILD RUN write /two 2',
      '[4/4] RUN ls /',
    ])
    const second = await buildCase({ dockerfile: 'FROM child\nRUN write /three 3\n' }, store)
    expect(historyOf(second.config).filter((text) => text.includes('/one'))).toHaveLength(1)
  })

  test('ONBUILD of a stage runs in its child stage [live], which does not pass it on', async () => {
    const { tree, config } = await buildCase({
      dockerfile: 'FROM scratch AS a\nONBUILD COPY f1 /x\nFROM a AS b\nFROM b\nCOPY f1 /y\n',
      context: CONTEXT,
    })
    expect(tree.root.children!.names()).toEqual(['x', 'y'])
    expect(config.config!.OnBuild).toBeUndefined()
    expect(historyOf(config).filter((text) => text.includes('/x'))).toHaveLength(1)
  })

  test('ONBUILD may name a stage of the child', async () => {
    const { tree } = await buildCase({
      dockerfile:
        'FROM scratch AS src\nCOPY f1 /f\nFROM scratch AS a\nONBUILD COPY --from=src /f /got\nFROM a\nLABEL x=1\n',
      context: CONTEXT,
    })
    expect(tree.lookup('got')).toBeDefined()
  })
})

// convert.go prefixCommand, processCmdEnv
describe('names in progress', () => {
  async function names(it: Case): Promise<string[]> {
    const out: string[] = []
    await buildCase({
      context: CONTEXT,
      ...it,
      options: {
        concurrency: 1,
        onEvent: (event) => event.kind === 'step-planned' && out.push(event.name),
        ...it.options,
      },
    })
    return out.map((name) => name.replace(/@sha256:\w+/, '@…')).toSorted()
  }

  test.each([
    [
      'one stage has no name',
      'FROM base\nWORKDIR /w\nCOPY . .\nRUN true\n',
      [
        '[1/4] FROM docker.io/library/base:latest@…',
        '[2/4] WORKDIR /w',
        '[3/4] COPY . .',
        '[4/4] RUN true',
        '[internal] load build context',
      ],
    ],
    [
      'stages have',
      'FROM base AS build\nRUN true\nFROM scratch\nCOPY --from=build / /\n',
      [
        '[build 1/2] FROM docker.io/library/base:latest@…',
        '[build 2/2] RUN true',
        '[stage-1 1/1] COPY --from=build / /',
      ],
    ],
    [
      'config instructions do not count',
      'FROM scratch\nENV A=1\nCOPY f1 /x\nCMD x\n',
      ['[1/1] COPY f1 /x', '[internal] load build context'],
    ],
    [
      'variables of COPY are filled in, quotes go',
      'FROM scratch\nENV A=f1\nCOPY "$A" /x$NOPE\n',
      ['[1/1] COPY f1 /x', '[internal] load build context'],
    ],
    [
      'variables of RUN are filled in where set, quotes stay',
      'FROM base\nENV A=1\nRUN true "$A" $NOPE\n',
      ['[1/2] FROM docker.io/library/base:latest@…', '[2/2] RUN true "1" $NOPE'],
    ],
    [
      'keywords are upper case',
      'FROM scratch\ncopy f1 /x\n',
      ['[1/1] COPY f1 /x', '[internal] load build context'],
    ],
    [
      'numbers are aligned',
      `FROM scratch\n${'COPY f1 /x\n'.repeat(10)}`,
      [
        ...Array.from({ length: 9 }, (_, i) => `[ ${i + 1}/10] COPY f1 /x`),
        '[10/10] COPY f1 /x',
        '[internal] load build context',
      ],
    ],
    [
      'a here-document shows its first line',
      'FROM base\nRUN <<EOF\ntrue a\ntrue b\nEOF\n',
      ['[1/2] FROM docker.io/library/base:latest@…', '[2/2] RUN <<EOF (true a...)'],
    ],
    [
      '--link is two steps under one number',
      'FROM base\nCOPY --link f1 /x\n',
      [
        '[1/2] FROM docker.io/library/base:latest@…',
        '[2/2] COPY --link f1 /x',
        '[2/2] LINK COPY --link f1 /x',
        '[internal] load build context',
      ],
    ],
  ])('%s', async (_rule, dockerfile, want) => {
    expect(await names({ dockerfile, base: {} })).toEqual(want.toSorted())
  })
})

describe('checks in a build', () => {
  const CASED = 'FROM base as x\nCOPY f1 /\n'

  async function warningsOf(dockerfile: string, options: Case['options'] = {}): Promise<string[]> {
    const found: string[] = []
    await buildCase({
      dockerfile,
      base: { a: '=1' },
      context: CONTEXT,
      options: {
        ...options,
        onEvent: (event) => {
          if (event.kind === 'warning') found.push(`${event.code} ${event.location?.range.start.line}`)
        },
      },
    })
    return found
  }

  test.each([
    ['violations are warnings', CASED, {}, ['FromAsCasing 1']],
    ['a file without any', 'FROM base AS x\nCOPY f1 /\n', {}, []],
    ['rules that the file skips', `# check=skip=FromAsCasing\n${CASED}`, {}, []],
    [
      'the build argument in place of the comment',
      `# check=skip=FromAsCasing\n${CASED}`,
      { BUILDKIT_DOCKERFILE_CHECK: 'skip=JSONArgsRecommended' },
      ['FromAsCasing 2'],
    ],
    [
      'stages that are not needed are not checked',
      `FROM base AS y\nWORKDIR rel\n${CASED}`,
      {},
      ['FromAsCasing 3'],
    ],
    [
      'files that the context ignores are no concern of --from',
      'FROM base AS x\nCOPY --from=base a /b\n',
      {},
      [],
    ],
    ["the base image's variables are defined", 'FROM base\nENV P=$PATH\n', {}, []],
    ['the front end of BuildKit', '# syntax=docker/dockerfile:1.7-labs\nFROM base\n', {}, []],
    ['another front end', '# syntax=example.com/x:1\nFROM base\n', {}, ['SYNTAX_NOT_LOADED 1']],
    [
      'another front end by its argument',
      'FROM base\n',
      { BUILDKIT_SYNTAX: 'example.com/x' },
      ['SYNTAX_NOT_LOADED undefined'],
    ],
  ])('%s', async (_, dockerfile, buildArgs, want) => {
    expect(await warningsOf(dockerfile, { buildArgs: buildArgs as Record<string, string> })).toEqual(want)
  })

  test.each([
    ['# check=error=true', `# check=error=true\n${CASED}`, {}, 2],
    ['BUILDKIT_DOCKERFILE_CHECK', CASED, { BUILDKIT_DOCKERFILE_CHECK: 'error=true' }, 1],
  ])('%s ends the build', async (_, dockerfile, buildArgs, line) => {
    const options = { buildArgs: buildArgs as Record<string, string> }
    const error = await failureOf({ dockerfile, base: {}, context: CONTEXT, options })
    expect(error).toMatchObject({
      code: 'CHECK_FAILED',
      message: 'lint violation found for rules: FromAsCasing',
      location: { range: { start: { line } } },
    })
  })
})

describe('errors', () => {
  test.each([
    [
      'COPY --chmod=8 f1 /',
      "invalid chmod parameter: '8'. it should be octal string and between 0 and 07777",
    ],
    [
      'COPY --chmod=10000 f1 /',
      "invalid chmod parameter: '10000'. it should be octal string and between 0 and 07777",
    ],
    ['RUN --mount=type=ssh,source=x true', 'ssh does not support source'],
    ['ADD --checksum=sha256:12 https://h/x /', 'invalid checksum digest length'],
    ['ADD git@h:a/b.git?x=1 /', 'unexpected query "x"'],
    ['COPY bob@h:a /', "source can't be a git ref for COPY"],
    ['COPY ssh://h/a /', "source can't be a git ref for COPY"],
    ['COPY https://h/a /', "source can't be a URL for COPY"],
    ['ADD --checksum=md5:12 https://h/x /', 'unsupported digest algorithm'],
    ['ADD --checksum=12 https://h/x /', 'invalid checksum digest format'],
  ])('%s: %s', async (line, message) => {
    const error = await failureOf({ dockerfile: `FROM scratch\n${line}\n`, context: CONTEXT })
    expect(error).toMatchObject({
      name: 'DockerfileError',
      message,
      location: { range: { start: { line: 2 } } },
    })
  })

  test.each([
    ['FROM --platform=$NOPE scratch', 'empty platform value from expression $NOPE'],
    [
      'ARG P=x\nFROM --platform=$P scratch',
      'failed to parse platform $P: "x": unknown operating system or architecture: invalid argument',
    ],
    [
      'ARG PLAT=linux\nFROM --platform=$PLATT scratch',
      'empty platform value from expression $PLATT (did you mean PLAT?)',
    ],
  ])('%s', async (dockerfile, message) => {
    expect(await failureOf({ dockerfile })).toMatchObject({ name: 'DockerfileError', message })
  })

  test('a base image that is not there: the nearest name', async () => {
    expect((await failureOf({ dockerfile: 'FROM scratch AS build\nFROM biuld\n' })).message).toMatch(
      /\(did you mean build\?\)$/,
    )
    expect((await failureOf({ dockerfile: 'FROM alpin\n' })).message).toMatch(/\(did you mean alpine\?\)$/)
  })

  test('an unknown target comes before faults of the stages', async () => {
    const dockerfile = 'FROM scratch\nCOPY --from=9 / /\n'
    expect(await failureOf({ dockerfile, options: { target: 'stage-1' } })).toMatchObject({
      code: 'STAGE_NOT_FOUND',
      message: 'target stage "stage-1" could not be found (did you mean stage-0?)',
    })
  })

  test('ONBUILD triggers that cannot be read point at FROM', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'bad:1', {}, { OnBuild: ['COPY --nope a b'] })
    const error = await failureOf({ dockerfile: 'FROM scratch AS x\nFROM bad:1\n' }, store)
    expect(error).toMatchObject({
      code: 'UNKNOWN_FLAG',
      location: { file: 'Dockerfile', range: { start: { line: 2 } } },
    })
  })

  test.each([
    [
      'a device',
      'FROM base\nRUN --device=vendor.com/device=gpu true\n',
      {},
      'NOT_SUPPORTED',
      /--device is not supported/,
      2,
    ],
    [
      'unknown target, with a suggestion',
      'FROM scratch AS build\n',
      { target: 'biuld' },
      'STAGE_NOT_FOUND',
      /did you mean build/,
      undefined,
    ],
    [
      'a stage number that is not there',
      'FROM scratch\nCOPY --from=3 /a /b\n',
      {},
      'STAGE_NOT_FOUND',
      /invalid stage index 3/,
      2,
    ],
    [
      'COPY from a later stage',
      'FROM scratch AS a\nCOPY --from=b /x /y\nFROM scratch AS b\nFROM a\n',
      {},
      'STAGE_NOT_DEFINED_YET',
      /cannot copy from stage "b", it needs to be defined before current stage "a"/,
      2,
    ],
    [
      'a mount from a later stage',
      'FROM scratch AS a\nRUN --mount=from=b,target=/m true\nFROM scratch AS b\nFROM a\n',
      {},
      'STAGE_NOT_DEFINED_YET',
      /cannot mount from stage "b"/,
      2,
    ],
    [
      'FROM a later stage',
      'FROM b AS a\nCOPY f1 /\nFROM scratch AS b\nFROM a\n',
      {},
      'STAGE_NOT_DEFINED_YET',
      /"b"/,
      1,
    ],
    [
      'two stages that copy from each other',
      'FROM scratch AS a\nCOPY --from=b /x /y\nFROM scratch AS b\nCOPY --from=a /x /y\n',
      {},
      'STAGE_CIRCULAR',
      /circular dependency detected on stage: a/,
      2,
    ],
    [
      'a stage that copies from itself',
      'FROM scratch AS a\nCOPY --from=a /x /y\n',
      {},
      'STAGE_CIRCULAR',
      /stage: a/,
      2,
    ],
    ['FROM in a circle', 'FROM b AS a\nFROM a AS b\n', {}, 'STAGE_CIRCULAR', /circular/, 1],
    [
      'a base that is not there names what is',
      'FROM nope:1\nCOPY f1 /\n',
      {},
      'BASE_IMAGE_NOT_FOUND',
      /the store has base:latest/,
      1,
    ],
    [
      'COPY from an image that is not there',
      'FROM scratch\nCOPY --from=nope /a /b\n',
      {},
      'BASE_IMAGE_NOT_FOUND',
      /nope/,
      2,
    ],
    [
      'a base that is not a name',
      'FROM Bad_Name!\n',
      {},
      'ARGUMENT_INVALID',
      /^failed to parse stage name "Bad_Name!": invalid reference format: repository name \(library\/Bad_Name!\) must be/,
      1,
    ],
    [
      'a base in capitals is no stage, although names of stages have none',
      'FROM scratch AS One\nFROM ONE\n',
      {},
      'ARGUMENT_INVALID',
      /^failed to parse stage name "ONE"/,
      2,
    ],
    [
      'a circle is told by the stage that leads into it and the last line that does',
      'FROM scratch AS a\nCOPY --from=b /x /y\nCOPY --from=b /x /y\nFROM scratch AS b\nCOPY --from=b /x /y\n',
      {},
      'STAGE_CIRCULAR',
      /on stage: a$/,
      3,
    ],
    ['a blank base', 'ARG X\nFROM $X\n', {}, 'ARGUMENT_INVALID', /should not be blank/, 2],
    [
      'a variable in --from',
      'FROM scratch\nARG X=a\nCOPY --from=$X /a /b\n',
      {},
      'FLAG_INVALID',
      /variable expansion is not supported for --from/,
      3,
    ],
    [
      'a bad epoch',
      'FROM scratch\n',
      { buildArgs: { SOURCE_DATE_EPOCH: 'x' } },
      'OPTION_INVALID',
      /^invalid source-date-epoch: strconv.ParseInt: parsing "x": invalid syntax$/,
      undefined,
    ],
    [
      'COPY of a URL',
      'FROM scratch\nCOPY https://example.com/x /y\n',
      {},
      'FLAG_INVALID',
      /can't be a URL/,
      2,
    ],
    ['a git URL', 'FROM scratch\nADD https://example.com/x.git?a=1 /y\n', {}, 'ARGUMENT_INVALID', /query/, 2],
    [
      'a checksum of a local file',
      `FROM scratch\nADD --checksum=sha256:${'0'.repeat(64)} f1 /y\n`,
      {},
      'FLAG_INVALID',
      /checksum requires/,
      2,
    ],
    ['a mount on /', 'FROM base\nRUN --mount=target=/ true\n', {}, 'FLAG_INVALID', /invalid mount target/, 2],
    [
      'a required secret that is absent',
      'FROM base\nRUN --mount=type=secret,id=k,required=true true\n',
      {},
      'OPTION_INVALID',
      /secret k: not found/,
      2,
    ],
    ['a user without an account', 'FROM base\nUSER zed\nRUN true\n', {}, 'USER_NOT_FOUND', /zed/, 3],
    [
      'an error in an ONBUILD trigger',
      'FROM scratch AS a\nONBUILD COPY nope /x\nFROM a\n',
      {},
      'SOURCE_NOT_FOUND',
      /nope/,
      3,
    ],
    ['a signal that is none', 'FROM scratch\nSTOPSIGNAL SIGNOPE\n', {}, 'ARGUMENT_INVALID', undefined, 2],
    ['ports that are none', 'FROM scratch\nEXPOSE 99999\n', {}, 'ARGUMENT_INVALID', undefined, 2],
  ])('%s', async (_rule, dockerfile, options, code, message, line) => {
    const failure = await failureOf({ dockerfile, base: {}, context: CONTEXT, options })
    expect(failure).toMatchObject({
      code,
      ...(line === undefined ? {} : { location: { range: { start: { line } } } }),
    })
    if (message !== undefined) expect(failure.message).toMatch(message)
  })

  test('a Dockerfile that is not there', async () => {
    await expect(
      buildCase({ dockerfile: '', options: { dockerfile: 'nope/Dockerfile' } }),
    ).rejects.toMatchObject({
      code: 'DOCKERFILE_NOT_FOUND',
    })
  })

  test('a context that is not there', async () => {
    await expect(
      buildCase({ dockerfile: '', options: { context: '/nonexistent/folder', dockerfile: undefined } }),
    ).rejects.toMatchObject({ code: 'CONTEXT_NOT_FOUND' })
  })

  test('a signal that fired', async () => {
    await expect(
      buildCase({
        dockerfile: 'FROM scratch\nCOPY f1 /\n',
        context: CONTEXT,
        options: { signal: AbortSignal.abort() },
      }),
    ).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' })
  })
})
