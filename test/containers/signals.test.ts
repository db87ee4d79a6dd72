// Signals: their names, and what reaches a command in the sandbox.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { constants } from 'node:os'
import { describe, expect, test } from 'vitest'
import { checkSandbox, sandboxExecutor } from '../../src/builder/index.js'
import { createContainer, killContainer, startContainer, stopContainer } from '../../src/containers/index.js'
import { signalName, signalNumber, signalOf } from '../../src/containers/signals.js'
import { openDiskStore, type Store } from '../../src/store/index.js'
import { peerTest } from '../peers.js'
import { putImage, scratch } from './fixtures.js'

// signal(7); moby/sys signal: names in any case, with or without SIG, numbers, RTMIN+n and RTMAX-n
describe('names and numbers', () => {
  test.each<[string, number]>([
    ['KILL', 9],
    ['sigkill', 9],
    ['9', 9],
    ['SIGUSR1', 10],
    ['hup', 1],
    ['Winch', 28],
    ['IOT', 6],
    ['CLD', 17],
    ['POLL', 29],
    ['RTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMAX', 64],
    ['RTMAX-14', 50],
    ['64', 64],
  ])('%s is %i', (text, number) => expect(signalNumber(text)).toBe(number))

  test.each([
    '',
    '0',
    '-1',
    '32',
    '33',
    '65',
    '999',
    'NOPE',
    'RTMIN-1',
    'RTMAX+1',
    'RTMIN+40',
    'SIG',
    '9x',
    'constructor',
  ])('%j is none', (text) =>
    expect(() => signalNumber(text)).toThrow(expect.objectContaining({ code: 'SIGNAL_INVALID' }) as Error),
  )

  test.runIf(process.platform === 'linux')("are the system's", () => {
    for (const [name, number] of Object.entries(constants.signals)) {
      if (name !== 'SIGUNUSED') expect(signalNumber(name), name).toBe(number)
    }
  })

  test('are stored by name where they have one', () => {
    expect(['15', 'SIGRTMIN+3', '', undefined].map(signalOf)).toEqual(['SIGTERM', '37', undefined, undefined])
    for (let number = 1; number <= 31; number++) expect(signalNumber(signalName(number))).toBe(number)
  })
})

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
const works = BUSYBOX !== undefined && (await checkSandbox()).works
const inSandbox = (name: string, fn: () => Promise<void>) => peerTest(name, works, fn, 60_000)

async function open(config: Record<string, unknown> = {}): Promise<Store> {
  const store = await openDiskStore(join(scratch(), 'store'), { durability: 'none' })
  await putImage(store, {
    config,
    files: (fs) => {
      fs.writeFileSync('/bin/busybox', readFileSync(BUSYBOX!), { mode: 0o755 })
      for (const name of ['sh', 'sleep', 'trap']) fs.linkSync('/bin/busybox', `/bin/${name}`)
    },
  })
  return store
}

/** A container whose command says which signals it gets, and ends at the last. */
async function begin(store: Store, traps: string, options: { readonly stopSignal?: string } = {}) {
  const { id } = await createContainer(store, 'app', {
    ...options,
    cmd: ['sh', '-c', `${traps}; echo began; while :; do sleep 0.02; done`],
  })
  let output = ''
  let seen = (): void => {}
  const ended = startContainer(store, id, {
    executor: sandboxExecutor({ store }),
    onOutput: (_, bytes) => {
      output += new TextDecoder().decode(bytes)
      seen()
    },
  })
  const sees = async (text: string): Promise<void> => {
    while (!output.includes(text)) await new Promise<void>((resolve) => (seen = resolve))
  }
  await sees('began')
  return { id, ended, sees }
}

describe('to a command in the sandbox', () => {
  inSandbox('any signal, which need not end it', async () => {
    await using store = await open()
    const { id, ended, sees } = await begin(
      store,
      'for s in HUP USR1 WINCH TERM; do trap "echo got $s" $s; done; trap "exit 6" USR2',
    )
    for (const [given, name] of [
      ['SIGHUP', 'HUP'],
      ['10', 'USR1'],
      ['winch', 'WINCH'],
      ['TERM', 'TERM'],
    ] as const) {
      expect(await killContainer(store, id, { signal: given })).toMatchObject({ status: 'running' })
      await sees(`got ${name}`)
    }
    await killContainer(store, id, { signal: 'USR2' })
    expect((await ended).exitCode).toBe(6)
    await expect(killContainer(store, id, { signal: 'USR2' })).rejects.toMatchObject({
      code: 'CONTAINER_NOT_RUNNING',
    })
    await expect(killContainer(store, id, { signal: 'NOPE' })).rejects.toMatchObject({
      code: 'SIGNAL_INVALID',
    })
  })

  inSandbox(
    "stop: the image's signal, the container's, the caller's; and SIGKILL when the time is over",
    async () => {
      await using store = await open({ StopSignal: 'SIGUSR1' })
      const traps = 'trap "exit 3" USR1; trap "exit 4" USR2; trap "exit 5" QUIT; trap "echo ignored" TERM'
      const byImage = await begin(store, traps)
      expect(await stopContainer(store, byImage.id)).toMatchObject({ status: 'exited', exitCode: 3 })
      const byContainer = await begin(store, traps, { stopSignal: '12' })
      expect(await stopContainer(store, byContainer.id)).toMatchObject({ exitCode: 4 })
      const byCaller = await begin(store, traps)
      expect(await stopContainer(store, byCaller.id, { signal: 'QUIT' })).toMatchObject({ exitCode: 5 })
      const stubborn = await begin(store, traps)
      expect(await stopContainer(store, stubborn.id, { signal: 'TERM', timeoutMs: 100 })).toMatchObject({
        exitCode: 137,
      })
      await Promise.all([byImage, byContainer, byCaller, stubborn].map(({ ended }) => ended))
    },
  )
})
