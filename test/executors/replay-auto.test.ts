// replay: RUN lines by their recorded layers. auto: which executor is taken, and why.
import { afterAll, describe, expect, test } from 'vitest'
import {
  autoExecutor,
  build,
  replayExecutor,
  sandboxExecutor,
  shellExecutor,
  type Executor,
  type ExecutorChoice,
} from '../../src/builder/index.js'
import { commandOfHistory } from '../../src/builder/executors/replay.js'
import { loadArchive, saveArchive } from '../../src/oci/index.js'
import { createMemoryStore, type Store } from '../../src/store/index.js'
import { openTree, UnionView } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import {
  busyboxRoot,
  canSandbox,
  configuration,
  removeSandboxFolders,
  requestFor,
  runLine,
  sandboxFolder,
} from './harness.js'

afterAll(removeSandboxFolders)

// BuildKit and classic docker write RUN differently; build arguments stand before the command.
test.each([
  { createdBy: 'RUN /bin/sh -c npm install # buildkit', want: '/bin/sh -c npm install' },
  { createdBy: 'RUN |2 A=1 B=two /bin/sh -c make # buildkit', want: '/bin/sh -c make' },
  { createdBy: '/bin/sh -c apt-get update', want: '/bin/sh -c apt-get update' },
  { createdBy: '|1 V=3 /bin/sh -c curl x', want: '/bin/sh -c curl x' },
  {
    createdBy: 'RUN |1 A=two words /bin/bash -o pipefail -c a | b # buildkit',
    want: '/bin/bash -o pipefail -c a | b',
  },
  { createdBy: 'RUN |2 A=1 B=2 npm ci # buildkit', want: 'npm ci' },
  { createdBy: 'RUN npm ci # buildkit', want: 'npm ci' },
  { createdBy: '/bin/sh -c #(nop) COPY file:abc in /x ', want: undefined },
  { createdBy: 'COPY . . # buildkit', want: undefined },
  { createdBy: 'WORKDIR /app', want: undefined },
])('$createdBy', ({ createdBy, want }) => expect(commandOfHistory(createdBy)).toBe(want))

const DOCKERFILE = [
  'FROM scratch',
  'COPY . /',
  'ARG KIND="blue moon"',
  'RUN mkdir /made && echo one > /made/file && rm /etc/hostname',
  'RUN date > /made/when; echo "$KIND" > /made/kind',
  'RUN ["sh", "-c", "ln /made/file /made/link"]',
  'RUN echo again >> /made/log',
  'RUN echo again >> /made/log',
].join('\n')

async function buildWith(store: Store, executor: Executor, tag: string, noCache = true) {
  const context = UnionView.open(await busyboxRoot())
  return build({
    store,
    context,
    executor,
    tags: [tag],
    noCache,
    dockerfile: { text: DOCKERFILE, name: 'Dockerfile' },
    sourceDateEpoch: 1_700_000_000,
  })
}

describe('replay', () => {
  test('of a shell build: the same layers, nothing executed', async () => {
    const store = createMemoryStore()
    const first = await buildWith(store, shellExecutor(), 'first')
    const second = await buildWith(store, replayExecutor({ store, images: ['first'] }), 'second')
    expect(second.layers.map(({ diffID }) => diffID)).toEqual(first.layers.map(({ diffID }) => diffID))
    const tree = await openTree(store, second.layers)
    expect(new TextDecoder().decode(tree.lookup('made/log')?.content())).toBe('again\nagain\n')
    expect(tree.lookup('made/link')).toBe(tree.lookup('made/file'))
  })

  peerTest('of a sandbox build', canSandbox, async () => {
    const store = createMemoryStore()
    const first = await buildWith(store, sandboxExecutor({ store, folder: sandboxFolder() }), 'first')
    const second = await buildWith(store, replayExecutor({ store, images: ['first'] }), 'second')
    expect(second.layers.map(({ diffID }) => diffID)).toEqual(first.layers.map(({ diffID }) => diffID))
  })

  test('of an image that was saved by docker save and loaded elsewhere', async () => {
    const [here, there] = [createMemoryStore(), createMemoryStore()]
    const first = await buildWith(here, shellExecutor(), 'first')
    const archive = saveArchive(here, [{ descriptor: first.image, names: ['first:latest'] }], {
      format: 'docker-archive',
    })
    await loadArchive(there, archive)
    const second = await buildWith(there, replayExecutor({ store: there, images: ['first'] }), 'second')
    expect(second.layers.map(({ diffID }) => diffID)).toEqual(first.layers.map(({ diffID }) => diffID))
  })

  test('a RUN that stands in no history: EXECUTOR_NO_MATCH with those that do', async () => {
    const store = createMemoryStore()
    await buildWith(store, shellExecutor(), 'first')
    const executor = replayExecutor({ store, images: ['first'] })
    await expect(runLine(executor, UnionView.open(configuration()), 'make world')).rejects.toMatchObject({
      code: 'EXECUTOR_NO_MATCH',
      data: {
        commandLine: 'make world',
        patterns: expect.arrayContaining(['/bin/sh -c echo again >> /made/log']),
      },
    })
  })

  test('an image that is not there', async () => {
    const executor = replayExecutor({ store: createMemoryStore(), images: ['absent'] })
    await expect(runLine(executor, UnionView.open(configuration()), 'true')).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    })
  })
})

describe('auto', () => {
  async function choiceOf(
    view: UnionView,
    argv?: readonly string[],
  ): Promise<{ choice: ExecutorChoice | undefined; exitCode: number }> {
    let choice: ExecutorChoice | undefined
    const executor = autoExecutor({
      store: createMemoryStore(),
      folder: sandboxFolder(),
      onChoice: (made) => (choice = made),
    })
    const changes = argv === undefined ? {} : { argv }
    const { exitCode } = await executor.run(requestFor(view, 'test -d /work', changes))
    return { choice, exitCode }
  }

  test('the shell, where the root has no such program', async () => {
    expect(await choiceOf(UnionView.open(configuration()))).toEqual({
      choice: {
        executor: 'shell',
        reason: expect.stringMatching(/no \/bin\/sh|needs/),
        commandLine: 'test -d /work',
      },
      exitCode: 0,
    })
  })

  peerTest('the sandbox, where both are there', canSandbox, async () => {
    const root = await busyboxRoot()
    for (const argv of [undefined, ['test', '-d', '/work']]) {
      expect(await choiceOf(UnionView.open(root), argv)).toEqual({
        choice: { executor: 'sandbox', reason: '', commandLine: 'test -d /work' },
        exitCode: 0,
      })
    }
  })
})

describe('the shell executor’s peer', () => {
  test('is missing: EXECUTOR_PEER_MISSING says what to install', async () => {
    const executor = shellExecutor({ load: () => Promise.reject(new Error('Cannot find package')) })
    await expect(runLine(executor, UnionView.open(configuration()), 'true')).rejects.toMatchObject({
      code: 'EXECUTOR_PEER_MISSING',
      message: expect.stringContaining('npm install just-bash'),
      data: { package: 'just-bash' },
    })
  })
})
