// What an executor shows beside the root: /etc/hosts, mounts that cannot be written to, and file systems in memory.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  build,
  functionsExecutor,
  sandboxExecutor,
  shellExecutor,
  type BuildOptions,
  type Executor,
} from '../../src/builder/index.js'
import { createMemoryStore, openDiskStore, type Store } from '../../src/store/index.js'
import { openTree, UnionView, type Tree } from '../../src/unionfs/index.js'
import { busyboxRoot, removeSandboxFolders, sandboxFolder } from './harness.js'
import { sandboxTest } from './sandbox-harness.js'

const stores: Store[] = []
afterAll(async () => {
  for (const store of stores) await store.close()
  removeSandboxFolders()
})

interface Built {
  readonly tree: Tree
  readonly out: string
}

async function buildIn(
  store: Store,
  executor: Executor,
  lines: readonly string[],
  options: Partial<BuildOptions> = {},
): Promise<Built> {
  const context = UnionView.open(await busyboxRoot())
  context.fs.mkdirSync('/ctx/sub', { recursive: true })
  context.fs.writeFileSync('/ctx/file', 'file\n')
  let out = ''
  const { layers } = await build({
    store,
    context,
    executor,
    dockerfile: { text: ['FROM scratch', 'COPY . /', ...lines].join('\n'), name: 'Dockerfile' },
    onEvent: (event) => {
      if (event.kind === 'step-output') out += new TextDecoder().decode(event.bytes)
    },
    ...options,
  })
  return { tree: await openTree(store, layers), out }
}

async function inSandbox(lines: readonly string[], options: Partial<BuildOptions> = {}): Promise<Built> {
  const store = await openDiskStore(join(sandboxFolder(), 'store'), {
    create: true,
    durability: 'none',
  })
  stores.push(store)
  return buildIn(store, sandboxExecutor({ store }), lines, options)
}

const inShell = (lines: readonly string[], options: Partial<BuildOptions> = {}): Promise<Built> =>
  buildIn(createMemoryStore(), shellExecutor(), lines, options)

// BuildKit 0.25: `docker buildx build --add-host …`, a RUN that prints the file and tries to change it
describe('/etc/hosts', () => {
  const OWN = '127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n'
  const extraHosts = ['myhost:1.2.3.4', 'six=[::7]', 'seven:::8', 'gateway:host-gateway', 'nameonly']
  const WITH = `${OWN}1.2.3.4\tmyhost\n::7\tsix\n::8\tseven\n127.0.0.1\tgateway\n`

  sandboxTest('has what --add-host gives, as BuildKit writes it', async () => {
    expect((await inSandbox(['RUN cat /etc/hosts'])).out).toBe(OWN)
    expect((await inSandbox(['RUN cat /etc/hosts'], { extraHosts })).out).toBe(WITH)
  })

  sandboxTest('cannot be written to or removed, nor /etc/resolv.conf; neither is in the layer', async () => {
    const line =
      'RUN echo x >> /etc/hosts; echo $?; rm /etc/hosts; echo $?; echo x >> /etc/resolv.conf; echo $?; cat /etc/resolv.conf > /work/seen'
    const { out, tree } = await inSandbox([line], { network: 'none', extraHosts })
    expect(out.match(/^1$/gm)).toEqual(existsSync('/etc/resolv.conf') ? ['1', '1', '1'] : ['1', '1'])
    expect(out).toMatch(/can't create \/etc\/hosts: Read-only file system/)
    for (const name of ['hosts', 'resolv.conf']) expect(tree.lookup(`etc/${name}`)).toBeUndefined()
    if (existsSync('/etc/resolv.conf')) {
      expect(new TextDecoder().decode(tree.lookup('work/seen')?.content())).toBe(
        readFileSync('/etc/resolv.conf', 'utf8'),
      )
    }
  })

  test('reaches executors in process, and no layer', async () => {
    const { out, tree } = await inShell(['RUN cat /etc/hosts'], { extraHosts })
    expect(out).toBe(WITH)
    expect(tree.lookup('etc/hosts')).toBeUndefined()
    const own = ['RUN echo own > /etc/hosts', 'RUN cat /etc/hosts > /work/seen']
    expect((await inShell(own)).tree.lookup('work/seen')?.size).toBe(4)
    const after = (await inShell(own, { extraHosts })).tree
    expect(after.lookup('work/seen')?.size).toBe(WITH.length)
  })

  test.each([
    ['/etc is a symlink to nowhere', 'RUN rm -rf /etc && ln -s /nowhere /etc'],
    ['/etc is a file', 'RUN rm -rf /etc && echo > /etc'],
    ['/etc/hosts is a directory', 'COPY ctx /etc/hosts'],
  ])('is left out where there is no room: %s', async (_, line) => {
    const { tree } = await inShell([line, 'RUN echo done > /work/out'], { extraHosts })
    expect(tree.lookup('work/out')?.size).toBe(5)
  })
})

describe('mounts that cannot be written to', () => {
  const flags = '--mount=type=bind,source=ctx,target=/in'
  for (const [name, run] of [
    ['shell', inShell],
    ['sandbox', inSandbox],
  ] as const) {
    const each = name === 'shell' ? test : sandboxTest
    each(`${name}: writing fails, and says why`, async () => {
      const { out, tree } = await run([
        `RUN ${flags} echo x > /in/new; echo $?; echo x >> /in/file; echo $?; rm /in/file; echo $?; mkdir /in/d; echo $?; chmod 700 /in/sub; echo $?; cat /in/file`,
      ])
      expect(out.match(/^\d$/gm)?.filter((code) => code === '0')).toEqual([])
      expect(out).toMatch(/Read-only file system/)
      expect(out).toMatch(/^file$/m)
      expect(tree.lookup('in')).toBeUndefined()
    })

    each(`${name}: a read-only cache, and one that can be written to inside of it`, async () => {
      const nested = '--mount=type=bind,source=ctx,target=/in --mount=type=cache,target=/in/sub'
      const { out } = await run([`RUN ${nested} echo x > /in/sub/x && cat /in/sub/x`])
      expect(out).toBe('x\n')
      const cache = '--mount=type=cache,target=/c,ro'
      expect((await run([`RUN ${cache} echo x > /c/x || echo refused`])).out).toMatch(/refused/)
    })

    each(`${name}: single files, and a file among what can be written to`, async () => {
      const files =
        '--mount=type=bind,source=ctx/file,target=/work/one --mount=type=secret,id=s,target=/work/s --mount=type=bind,source=ctx,target=/in,rw --mount=type=bind,source=ctx/file,target=/in/sub/file'
      const { out, tree } = await run(
        [
          `RUN ${files} for f in /work/one /work/s /in/sub/file; do echo x > $f; echo $?; echo x >> $f; echo $?; rm $f; echo $?; chmod 600 $f; echo $?; cat $f; done; echo x > /in/file && echo written`,
        ],
        { secrets: { s: 'secret\n' } },
      )
      expect(out.match(/^\d$/gm)?.length).toBe(12)
      expect(out).not.toMatch(/^0$/m)
      expect(out.match(/Read-only file system/g)!.length).toBeGreaterThanOrEqual(9)
      expect(out.match(/^(file|secret|written)$/gm)).toEqual(['file', 'secret', 'file', 'written'])
      for (const name of ['one', 's']) expect(tree.lookup(`work/${name}`)).toBeUndefined()
    })

    each(`${name}: in one that cannot be written to, only the one that can`, async () => {
      const nested = '--mount=type=bind,source=ctx,target=/in --mount=type=cache,target=/in/sub'
      const { out } = await run([
        `RUN ${nested} echo x > /in/x; echo $?; echo y > /in/sub/y; echo $?; mv /in/sub/y /in/; echo $?; rmdir /in/sub; echo $?; cat /in/sub/y`,
      ])
      expect(out.match(/^\w$/gm)?.[1]).toBe('0')
      expect(out.match(/^0$/gm)?.length).toBe(1)
    })

    each(`${name}: with rw, what is written is dropped`, async () => {
      const { out, tree } = await run([`RUN ${flags},rw echo x > /in/new && cat /in/new /in/file`])
      expect(out).toBe('x\nfile\n')
      expect(tree.lookup('ctx/new')).toBeUndefined()
    })
  }

  test('functions: EROFS from every call', async () => {
    const codes: unknown[] = []
    const executor = functionsExecutor([
      {
        match: 'try',
        run({ fs }) {
          const calls = [
            () => fs.writeFileSync('/in/new', ''),
            () => fs.appendFileSync('/in/file', ''),
            () => fs.rmSync('/in/file'),
            () => fs.mkdirSync('/in/d'),
            () => fs.chmodSync('/in/file', 0o600),
            () => fs.renameSync('/in/file', '/in/other'),
            () => fs.symlinkSync('x', '/in/link'),
          ]
          for (const call of calls) {
            try {
              call()
            } catch (error) {
              codes.push((error as NodeJS.ErrnoException).code)
            }
          }
        },
      },
    ])
    const { tree } = await buildIn(createMemoryStore(), executor, [`RUN ${flags} try`])
    expect(codes).toEqual(Array.from({ length: 7 }, () => 'EROFS'))
    expect(tree.lookup('in')).toBeUndefined()
  })
})

describe('tmpfs', () => {
  for (const [name, run] of [
    ['shell', inShell],
    ['sandbox', inSandbox],
  ] as const) {
    const each = name === 'shell' ? test : sandboxTest
    each(`${name}: a command fails when its size is used up, and goes on when there is room`, async () => {
      const { out, tree } = await run([
        'RUN --mount=type=tmpfs,target=/t,size=8k cd /t; echo a > a; echo b > b; echo c > c; echo $?; cat a b; rm a; echo d > d; echo $?; cat d; echo x > /work/x',
      ])
      expect(out).toMatch(/No space left on device/)
      expect(out.match(/^\w$/gm)).toEqual([expect.stringMatching(/[12]/), 'a', 'b', '0', 'd'])
      expect(tree.lookup('t')).toBeUndefined()
      expect(tree.lookup('work/x')?.size).toBe(2)
    })
  }

  sandboxTest('holds no more than its size, and nothing of it is kept', async () => {
    const { out, tree } = await inSandbox([
      'RUN --mount=type=tmpfs,target=/t,size=1m dd if=/dev/zero of=/t/x bs=64k count=64; stat -c "%a %u:%g" /t; wc -c < /t/x; grep " /t " /proc/mounts | cut -d" " -f3',
    ])
    expect(out).toMatch(/No space left on device/)
    expect(out).toMatch(/^1777 0:0$/m)
    expect(out).toMatch(/^1048576$/m)
    expect(out).toMatch(/^tmpfs$/m)
    expect(tree.lookup('t')).toBeUndefined()
  })

  sandboxTest('hides what the root has there, which comes back unchanged', async () => {
    const { out, tree } = await inSandbox([
      'RUN --mount=type=tmpfs,target=/etc/app ls /etc/app | wc -l; echo x > /etc/app/x',
      'RUN ls /etc/app',
    ])
    expect(out).toBe('0\na.conf\nb.conf\nconf.d\nreadme\n')
    expect(tree.lookup('etc/app/x')).toBeUndefined()
  })

  sandboxTest('with other mounts in it', async () => {
    const { out } = await inSandbox(
      [
        'RUN --mount=type=tmpfs,target=/t,size=1m --mount=type=bind,source=ctx,target=/t/in --mount=type=secret,id=s,target=/t/s --mount=type=tmpfs,target=/t/u cat /t/in/file /t/s; echo x > /t/x && echo y > /t/u/y && echo both',
      ],
      { secrets: { s: 'secret\n' } },
    )
    expect(out).toBe('file\nsecret\nboth\n')
  })

  sandboxTest('under a user that is not root', async () => {
    const { out } = await inSandbox([
      'USER games',
      'RUN --mount=type=tmpfs,target=/t echo x > /t/x && stat -c %u /t/x',
    ])
    expect(out).toBe('5\n')
  })
})
