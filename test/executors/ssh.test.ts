// --mount=type=ssh: what a RUN may ask of an agent, keys from files, and that nothing of either stays.
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync, verify, createPublicKey } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { librariesOf } from '../../src/builder/executors/sandbox/host.js'
import { Framer, framed } from '../../src/builder/executors/ssh/frames.js'
import { readPrivateKey } from '../../src/builder/executors/ssh/keys.js'
import { serveAgent } from '../../src/builder/executors/ssh/serve.js'
import { concat, string, uint32, WireReader } from '../../src/builder/executors/ssh/wire.js'
import { forRun } from '../../src/builder/ssh-agent.js'
import {
  build,
  openSshAgent,
  sandboxExecutor,
  shellExecutor,
  type SshAgent,
} from '../../src/builder/index.js'
import { openDiskStore } from '../../src/store/index.js'
import { openTree, UnionView } from '../../src/unionfs/index.js'
import { findProgram, peerTest } from '../peers.js'
import { busyboxRoot, canSandbox, removeSandboxFolders, sandboxFolder } from './harness.js'
import { isRoot } from './sandbox-harness.js'

const folder = mkdtempSync(join(tmpdir(), 'lamella-ssh-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
  removeSandboxFolders()
})

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const IDENTITIES = bytes(11)
const FAILURE = bytes(5)

// draft-miller-ssh-agent, section 6.1; moby/buildkit session/sshforward/sshprovider: readOnlyAgent
describe('what a RUN may ask', () => {
  const asked: number[] = []
  const agent = forRun({
    async request(message) {
      asked.push(message[0]!)
      return bytes(6)
    },
  })
  test.each([
    ['list the keys', 11, true],
    ['sign', 13, true],
    ['add a key', 17, false],
    ['remove a key', 18, false],
    ['remove all keys', 19, false],
    ['add a key of a token', 20, false],
    ['lock', 22, false],
    ['unlock', 23, false],
    ['an extension', 27, false],
    ['nothing', undefined, false],
  ])('%s', async (_, type, isAllowed) => {
    asked.length = 0
    const answer = await agent.request(type === undefined ? bytes() : bytes(type))
    expect([answer, asked]).toEqual(isAllowed ? [bytes(6), [type]] : [FAILURE, []])
  })

  test('an agent that breaks off is a refusal, not the end of the RUN', async () => {
    const broken = forRun({ request: () => Promise.reject(new Error('gone')) })
    expect(await broken.request(IDENTITIES)).toEqual(FAILURE)
  })
})

describe('messages on a stream', () => {
  test.each([1, 2, 3, 7, 100])('in pieces of %i bytes', (size) => {
    const messages: Uint8Array[] = []
    const framer = new Framer((message) => messages.push(message))
    const stream = concat(framed(bytes(11)), framed(bytes(13, 1, 2, 3)), framed(bytes(11)))
    for (let at = 0; at < stream.length; at += size)
      expect(framer.add(stream.subarray(at, at + size))).toBe(true)
    expect(messages).toEqual([bytes(11), bytes(13, 1, 2, 3), bytes(11)])
  })

  test.each([
    ['an empty message', uint32(0)],
    ['one beyond the limit', uint32(256 * 1024 + 1)],
  ])('%s ends the conversation', (_, piece) => expect(new Framer(() => {}).add(piece)).toBe(false))
})

describe('keys from PEM files', () => {
  const pem = { type: 'pkcs8', format: 'pem' } as const
  const spki = { type: 'spki', format: 'pem' } as const
  const pair = {
    ed25519: generateKeyPairSync('ed25519', { privateKeyEncoding: pem, publicKeyEncoding: spki }),
    rsa: generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: pem,
      publicKeyEncoding: spki,
    }),
  }
  test('sign what their public keys verify', () => {
    const data = new TextEncoder().encode('data')
    for (const [name, flags, hash] of [
      ['ed25519', 0, null],
      ['rsa', 0, 'sha1'],
      ['rsa', 2, 'sha256'],
      ['rsa', 4, 'sha512'],
    ] as const) {
      const reader = new WireReader(readPrivateKey(pair[name].privateKey).sign(data, flags))
      const type = reader.text()
      expect(type).toBe(
        { null: 'ssh-ed25519', sha1: 'ssh-rsa', sha256: 'rsa-sha2-256', sha512: 'rsa-sha2-512' }[`${hash}`],
      )
      expect(verify(hash, data, createPublicKey(pair[name].publicKey), reader.string())).toBe(true)
      expect(reader.isAtEnd).toBe(true)
    }
  })

  test.each([
    ['no key at all', 'hello'],
    ['a public key', pair.rsa.publicKey],
    [
      'a truncated key',
      '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5v\n-----END OPENSSH PRIVATE KEY-----\n',
    ],
    ['a passphrase', '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n'],
  ])('%s is OPTION_INVALID with the path', async (name, text) => {
    const path = join(folder, name.replaceAll(' ', '-'))
    writeFileSync(path, text)
    await expect(openSshAgent([path])).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      data: { option: 'ssh', path },
    })
  })

  test('a file that is not there, a socket with a key beside it', async () => {
    await expect(openSshAgent([join(folder, 'absent')])).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    const server = await listen(join(folder, 'lonely'), () => FAILURE)
    await expect(openSshAgent([join(folder, 'lonely'), join(folder, 'lonely')])).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    })
    server.close()
  })
})

/** A socket at which a function answers. */
function listen(path: string, answer: (message: Uint8Array) => Uint8Array): Promise<Server> {
  const server = createServer((socket) => {
    const framer = new Framer((message) => socket.write(framed(answer(message))))
    socket.on('error', () => undefined)
    socket.on('data', (piece: Uint8Array) => framer.add(piece))
  })
  return new Promise((resolve) => server.listen(path, () => resolve(server)))
}

const tools = ['ssh-keygen', 'ssh-add', 'ssh-agent'].map(findProgram)
const hasSsh = tools.every((path) => path !== undefined)

describe('with OpenSSH', () => {
  const kinds = [
    ['ed25519', '-t', 'ed25519'],
    ['rsa', '-t', 'rsa', '-b', '2048'],
    ['ecdsa 256', '-t', 'ecdsa', '-b', '256'],
    ['ecdsa 384', '-t', 'ecdsa', '-b', '384'],
    ['ecdsa 521', '-t', 'ecdsa', '-b', '521'],
    ['rsa as PEM', '-t', 'rsa', '-b', '2048', '-m', 'PEM'],
    ['ecdsa as PKCS 8', '-t', 'ecdsa', '-b', '256', '-m', 'PKCS8'],
  ] as const
  const makeKey = (name: string, ...options: readonly string[]): string => {
    const path = join(folder, name.replaceAll(' ', '-'))
    if (!existsSync(path)) {
      execFileSync('ssh-keygen', ['-q', '-N', '', '-C', `comment of ${name}`, '-f', path, ...options])
    }
    return path
  }

  for (const [name, ...options] of kinds) {
    peerTest(
      `keys: ${name}: listed as ssh-keygen writes it, and signs what ssh-keygen verifies`,
      hasSsh,
      async () => {
        const path = makeKey(name, ...options)
        const socket = join(folder, `agent-${name.replaceAll(' ', '-')}`)
        const server = await serveAgent(
          await openSshAgent([path]),
          socket,
          { uid: 0, gid: 0, mode: 0o600 },
          false,
        )
        const env = { ...process.env, SSH_AUTH_SOCK: socket }
        const call = (command: string, args: readonly string[]) => run(command, args, env)
        try {
          const [type, blob] = readFileSync(`${path}.pub`, 'utf8').split(' ')
          expect(await call('ssh-add', ['-L'])).toMatch(`${type} ${blob}`)
          const message = join(folder, `message-${name.replaceAll(' ', '-')}`)
          writeFileSync(message, 'signed')
          await call('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'test', '-f', `${path}.pub`, message])
          writeFileSync(`${message}.allowed`, `me ${type} ${blob}\n`)
          const verified = [
            '-Y',
            'verify',
            '-n',
            'test',
            '-I',
            'me',
            '-f',
            `${message}.allowed`,
            '-s',
            `${message}.sig`,
          ]
          execFileSync('ssh-keygen', verified, { input: 'signed', stdio: ['pipe', 'ignore', 'pipe'] })
        } finally {
          server.close()
        }
      },
    )
  }

  peerTest('keys: one with a passphrase is a clear error', hasSsh, async () => {
    const path = join(folder, 'locked')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', path])
    await expect(openSshAgent([path])).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringMatching(/passphrase/) as string,
    })
  })

  const canRun = hasSsh && canSandbox && isRoot
  /** The root of the sandbox's tests with ssh-add and its libraries. */
  async function rootWithSsh(): Promise<UnionView> {
    const view = UnionView.open(await busyboxRoot())
    const program = findProgram('ssh-add')!
    const { loader, libraries } = librariesOf(program)!
    for (const path of [program, loader, ...libraries]) {
      view.fs.mkdirSync(join(path, '..'), { recursive: true })
      view.fs.writeFileSync(path, readFileSync(path), { mode: 0o755 })
    }
    return view
  }

  async function buildWith(
    line: string,
    ssh: Record<string, SshAgent>,
  ): Promise<{ out: string; at: string }> {
    const at = sandboxFolder()
    await using store = await openDiskStore(join(at, 'store'), { create: true, durability: 'none' })
    let log = ''
    const { layers } = await build({
      store,
      context: await rootWithSsh(),
      executor: sandboxExecutor({ store }),
      ssh,
      dockerfile: { text: ['FROM scratch', 'COPY . /', `RUN ${line}`].join('\n'), name: 'Dockerfile' },
      onEvent: (event) => {
        if (event.kind === 'step-output') log += new TextDecoder().decode(event.bytes)
      },
    })
    const tree = await openTree(store, layers)
    expect(tree.lookup('run/buildkit')).toBeUndefined()
    return { out: log, at }
  }

  peerTest('a RUN lists the keys of a real agent, and cannot take them away', canRun, async () => {
    const path = makeKey('forwarded', '-t', 'ed25519')
    const socket = join(folder, 'real')
    const agent = spawnSync('ssh-agent', ['-a', socket], { encoding: 'utf8' })
    const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(agent.stdout)?.[1])
    try {
      const env = { ...process.env, SSH_AUTH_SOCK: socket }
      execFileSync('ssh-add', ['-q', path], { env, stdio: 'ignore' })
      const { out, at } = await buildWith(
        '--mount=type=ssh,mode=0640,gid=5 ls -ln $SSH_AUTH_SOCK | cut -c1-24; ssh-add -L; ssh-add -D; ssh-add -x </dev/null; true',
        { default: await openSshAgent([socket]) },
      )
      expect(out).toContain('srw-r-----')
      expect(out).toContain(readFileSync(`${path}.pub`, 'utf8').trim())
      expect(execFileSync('ssh-add', ['-l'], { env, encoding: 'utf8' })).toContain('comment of forwarded')
      const left = spawnSync('find', [at, '-type', 's'], { encoding: 'utf8' }).stdout
      expect(left).toBe('')
    } finally {
      process.kill(pid)
    }
  })

  peerTest('a key is in no layer, no record and no log', canRun, async () => {
    const path = makeKey('hidden', '-t', 'ed25519')
    const { out, at } = await buildWith(
      '--mount=type=ssh,id=deploy,required ssh-add -l; env; cat /proc/mounts',
      {
        deploy: await openSshAgent([path]),
      },
    )
    expect(out).toContain('comment of hidden')
    const secret = readFileSync(path, 'utf8').split('\n')[2]!
    expect(out).not.toContain(secret)
    expect(spawnSync('grep', ['-rlaF', secret, at], { encoding: 'utf8' }).stdout).toBe('')
    expect(
      spawnSync('grep', ['-rlaF', 'comment of hidden', join(at, 'store/blobs')], { encoding: 'utf8' }).stdout,
    ).toBe('')
  })
})

/** Not spawnSync: what it talks to is in this process. */
async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const { execFile } = await import('node:child_process')
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { env, encoding: 'utf8' }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    )
    child.stdin?.end()
  })
}

describe('an agent that is not there', () => {
  const dockerfile = (flags: string) => ({
    text: `FROM scratch\nRUN --mount=type=ssh${flags} echo "$SSH_AUTH_SOCK"`,
    name: 'Dockerfile',
  })
  const context = new UnionView()

  test('is an error where it is required', async () => {
    const store = (await import('../../src/store/index.js')).createMemoryStore()
    await expect(
      build({ store, context, executor: shellExecutor(), dockerfile: dockerfile(',id=x,required') }),
    ).rejects.toMatchObject({ code: 'OPTION_INVALID', data: { option: 'ssh', id: 'x' } })
  })

  test('is no mount where it is not', async () => {
    const store = (await import('../../src/store/index.js')).createMemoryStore()
    const { layers } = await build({ store, context, executor: shellExecutor(), dockerfile: dockerfile('') })
    expect((await openTree(store, layers)).lookup('run')).toBeUndefined()
  })

  test('the shell cannot talk to one: EXECUTOR_CAPABILITY names who can', async () => {
    const store = (await import('../../src/store/index.js')).createMemoryStore()
    const agent = { request: async () => FAILURE }
    await expect(
      build({
        store,
        context,
        executor: shellExecutor(),
        dockerfile: dockerfile(''),
        ssh: { default: agent },
      }),
    ).rejects.toMatchObject({ code: 'EXECUTOR_CAPABILITY', data: { able: ['sandbox', 'functions'] } })
  })
})

test('the socket has the owner and mode that the RUN asks for, in a folder closed to others', async () => {
  const at = mkdtempSync(join(folder, 'x'))
  chmodSync(at, 0o700)
  const server = await serveAgent(
    { request: async () => bytes(12, 0, 0, 0, 0) },
    join(at, 's'),
    { uid: 7, gid: 8, mode: 0o660 },
    isRoot,
  )
  const agent = await openSshAgent([join(at, 's')])
  expect(await agent.request(IDENTITIES)).toEqual(bytes(12, 0, 0, 0, 0))
  expect(readdirSync(at)).toEqual(['s'])
  server.close()
  await expect(agent.request(IDENTITIES)).rejects.toThrow()
  expect(string('a')).toEqual(bytes(0, 0, 0, 1, 97))
})
