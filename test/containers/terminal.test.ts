// `run -it` and `exec -it` on a terminal, which script(1) makes: keys, jobs, the window's size, and what the sandbox can do to it.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect } from 'vitest'
import { checkSandbox } from '../../src/builder/index.js'
import { listContainers, readLog } from '../../src/containers/index.js'
import { openDiskStore, type Store } from '../../src/store/index.js'
import { peerTest } from '../peers.js'
import { putImage, scratch } from './fixtures.js'

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
const hasScript = spawnSync('script', ['--version']).status === 0
const works = BUSYBOX !== undefined && hasScript && (await checkSandbox()).works
const test = (name: string, fn: () => Promise<void>) => peerTest(name, works, fn, 60_000)
const MAIN = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')
const NAMES = 'sh cat ls sleep touch id stty tty echo kill trap readlink ps test cut grep wc'

async function open(): Promise<Store> {
  const store = await openDiskStore(join(scratch(), 'store'), { durability: 'none' })
  await putImage(store, {
    files: (fs) => {
      fs.writeFileSync('/bin/busybox', readFileSync(BUSYBOX!), { mode: 0o755 })
      for (const name of NAMES.split(' ')) fs.linkSync('/bin/busybox', `/bin/${name}`)
    },
  })
  return store
}

/** A person at a terminal of 33 lines and 97 columns. */
class Person {
  seen = ''
  readonly #child
  readonly ended: Promise<number | null>

  constructor(line: string) {
    const command = `stty rows 33 cols 97; exec ${process.execPath} ${MAIN} ${line}`
    this.#child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdout.on('data', (bytes: Buffer) => void (this.seen += bytes.toString()))
    this.ended = new Promise((resolve) => this.#child.once('close', resolve))
  }

  type(keys: string): void {
    this.seen = ''
    this.#child.stdin.write(keys)
  }

  async sees(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.seen)
      if (match !== null) return match
      if (this.#child.exitCode !== null) throw new Error(`ended; seen: ${JSON.stringify(this.seen)}`)
      await sleep(20)
    }
  }

  async does(line: string, pattern: RegExp): Promise<RegExpExecArray> {
    this.type(`${line}\n`)
    return this.sees(pattern)
  }
}

/** With what busybox asks the terminal after it: where the cursor is. */
const PROMPT = /[#$] (.\[6n)?$/

describe('a command on a terminal', () => {
  test('a shell: its size, its jobs, Ctrl-C and Ctrl-Z, and its exit code', async () => {
    await using store = await open()
    const person = new Person(`run --store ${store.path} --executor sandbox -it app sh`)
    await person.sees(PROMPT)
    await person.does('stty size; echo $TERM', /\n33 97\r\nxterm\r\n/)
    person.type('echo began; sleep 1000\n')
    await person.sees(/\nbegan\r\n/)
    await sleep(200)
    person.type('\x03')
    await person.sees(PROMPT)
    await person.does('echo "status $?"', /\nstatus 130\r\n/)
    person.type('echo again; sleep 1000\n')
    await person.sees(/\nagain\r\n/)
    await sleep(200)
    person.type('\x1a')
    await person.sees(/Stopped/)
    await person.does('kill -9 %1; echo "session $(cut -d" " -f6,7 /proc/$$/stat)"', /session \d+ \d+\r\n/)
    // Nothing but the terminal is open, and it is not ours.
    await person.does('ls /proc/self/fd | grep -v "^[0-2]$" | wc -l', /\n[12]\r\n/)
    person.type('exit 7\n')
    expect(await person.ended).toBe(7)
    const [info] = await listContainers(store)
    expect([info!.status, info!.exitCode]).toEqual(['exited', 7])
    const log = (await readLog(store, info!.id)).map(({ bytes }) => new TextDecoder().decode(bytes)).join('')
    expect(log).toMatch(/33 97/)
    expect(readdirSync(join(store.path!, 'lamella/sandbox/runs'))).toEqual([])
  })

  test('one that is no shell: Ctrl-C ends it, or is for its own handler', async () => {
    await using store = await open()
    const sleeper = new Person(
      `run --store ${store.path} --executor sandbox --rm -it app sh -c 'echo go; exec sleep 1000'`,
    )
    await sleeper.sees(/go/)
    await sleep(200)
    sleeper.type('\x03')
    expect(await sleeper.ended).toBe(130)
    const line = `'trap "echo caught; exit 5" INT; echo go; while :; do sleep 0.05; done'`
    const handler = new Person(`run --store ${store.path} --executor sandbox --rm -it app sh -c ${line}`)
    await handler.sees(/go/)
    handler.type('\x03')
    await handler.sees(/caught/)
    expect(await handler.ended).toBe(5)
  })

  test('exec: a shell beside the command, as another user', async () => {
    await using store = await open()
    const main = new Person(`run --store ${store.path} --executor sandbox --name box -it app sh`)
    await main.sees(PROMPT)
    const beside = new Person(`exec --store ${store.path} -it -u 7:8 box sh`)
    await beside.sees(PROMPT)
    await beside.does('id -u; stty size', /\n7\r\n33 97\r\n/)
    beside.type('echo began; sleep 1000\n')
    await beside.sees(/\nbegan\r\n/)
    await sleep(200)
    beside.type('\x03')
    await beside.sees(PROMPT)
    await beside.does('echo "status $?"', /status 130/)
    beside.type('exit 3\n')
    expect(await beside.ended).toBe(3)
    main.type('exit\n')
    expect(await main.ended).toBe(0)
  })

  test('-t alone is a terminal for the command; -it without one is refused; -i hands input on as it comes', async () => {
    await using store = await open()
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [MAIN, 'run', '--store', store.path!, '--executor', 'sandbox', ...args], {
        input: 'first\n',
        encoding: 'utf8',
      })
    expect(run('-t', 'app', 'sh', '-c', 'test -t 1 && echo terminal').stdout).toBe('terminal\r\n')
    expect(run('-it', 'app', 'sh')).toMatchObject({
      stderr: expect.stringMatching(/not a terminal/) as string,
    })
    expect(run('-i', 'app', 'cat').stdout).toBe('first\n')
    const child = spawn(process.execPath, [
      MAIN,
      'run',
      '--store',
      store.path!,
      '--executor',
      'sandbox',
      '-i',
      'app',
      'sh',
    ])
    let seen = ''
    child.stdout.on('data', (bytes: Buffer) => void (seen += bytes.toString()))
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.stdin.write('echo one\n')
    while (!seen.includes('one')) await sleep(20)
    // The command's end is the end, whatever there is still to be read.
    child.stdin.write('exit 4\n')
    expect(await ended).toBe(4)
  })
})
