// The parts of the shell executor, and what the sixty RUN lines leave out.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseGroup, parsePasswd, resolveIdentity } from '../../src/builder/executors/accounts.js'
import { compareLines } from '../../src/builder/executors/shell/applets/diff.js'
import { globToRegExp } from '../../src/builder/executors/shell/applets/glob.js'
import { parseMode, parseSize } from '../../src/builder/executors/shell/applets/shared.js'
import { quoteWord } from '../../src/builder/executors/shell/applets/shell-words.js'
import { readInvocation } from '../../src/builder/executors/shell/invocation.js'
import { parseOptions } from '../../src/builder/executors/shell/options.js'
import { resolvePath } from '../../src/builder/executors/shell/resolve-path.js'
import { shellExecutor } from '../../src/builder/index.js'
import { UnionView } from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { configuration, effectOf, GROUP, PASSWD, runLine, smallRoot } from './harness.js'

const files = {
  passwd: `${PASSWD}\nodd:x:notanumber:1::/:/bin/sh\n`,
  group: `${GROUP}\nextra:x:70:games,daemon\n`,
}

// moby/sys/user GetExecUser: names first, then numbers; a user without a group brings its own groups.
describe('who a USER is', () => {
  test.each([
    { user: '', want: { uid: 0, gid: 0, groups: [], name: 'root', home: '/root' } },
    { user: 'games', want: { uid: 5, gid: 60, groups: [70], name: 'games', home: '/usr/games' } },
    { user: '5', want: { uid: 5, gid: 60, groups: [70], name: 'games', home: '/usr/games' } },
    { user: 'games:staff', want: { uid: 5, gid: 50, groups: [], name: 'games', home: '/usr/games' } },
    { user: '5:123', want: { uid: 5, gid: 123, groups: [], name: 'games', home: '/usr/games' } },
    { user: '4242', want: { uid: 4242, gid: 0, groups: [], name: undefined, home: '/' } },
    { user: ':staff', want: { uid: 0, gid: 50, groups: [], name: 'root', home: '/root' } },
  ])('$user', ({ user, want }) => expect(resolveIdentity(user, files)).toEqual(want))

  test.each(['nobody-here', 'odd', 'games:nogroup-here', '-1', '4294967296'])('%s is not found', (user) => {
    expect(() => resolveIdentity(user, files)).toThrow(expect.objectContaining({ code: 'USER_NOT_FOUND' }))
  })

  test('lines that are no account are skipped', () => {
    expect(parsePasswd('# comment\n\nx:y\n+::::::\na:x:1:2::/h:\n')).toEqual([
      { name: 'a', uid: 1, gid: 2, home: '/h', shell: '/bin/sh' },
    ])
    expect(parseGroup('g:x:7:a,,b\nbad:x:y:\n')).toEqual([{ name: 'g', gid: 7, members: ['a', 'b'] }])
  })
})

describe('what an argument vector asks for', () => {
  test.each([
    { argv: ['/bin/sh', '-c', 'echo hi'], want: { dialect: 'sh', script: 'echo hi' } },
    { argv: ['/bin/bash', '-c', 'echo {a,b}'], want: { dialect: 'bash', script: 'echo {a,b}' } },
    {
      argv: ['/bin/bash', '-o', 'pipefail', '-c', 'x'],
      want: { dialect: 'bash', script: 'set -o pipefail\nx' },
    },
    { argv: ['sh', '-exc', 'x'], want: { dialect: 'sh', script: 'set -ex\nx' } },
    {
      argv: ['bash', '-euxo', 'pipefail', '-c', 'x'],
      want: { dialect: 'bash', script: 'set -eux\nset -o pipefail\nx' },
    },
    {
      argv: ['sh', '-c', 'echo "$1"', 'name', 'a b'],
      want: { dialect: 'sh', script: 'set -- \'a b\'\necho "$1"' },
    },
    { argv: ['touch', "it's", '$x'], want: { dialect: 'sh', script: "touch 'it'\\''s' '$x'" } },
    { argv: ['sh', 'script.sh'], want: { dialect: 'sh', script: 'sh script.sh' } },
  ])('$argv', ({ argv, want }) => expect(readInvocation(argv)).toEqual(want))
})

// getopt_long(3)
describe('options', () => {
  const spec = { flags: 'ab', values: 'm', long: { all: 'a', mode: 'm', 'mode-other': 'b' } }
  test.each([
    {
      args: ['-ab', 'x'],
      all: [
        ['a', undefined],
        ['b', undefined],
      ],
      operands: ['x'],
    },
    { args: ['-m755', 'x'], all: [['m', '755']], operands: ['x'] },
    {
      args: ['-am', '755'],
      all: [
        ['a', undefined],
        ['m', '755'],
      ],
      operands: [],
    },
    {
      args: ['--mode=1', '--al'],
      all: [
        ['m', '1'],
        ['a', undefined],
      ],
      operands: [],
    },
    { args: ['x', '-a', '--', '-b', '-'], all: [['a', undefined]], operands: ['x', '-b', '-'] },
    { args: ['-'], all: [], operands: ['-'] },
  ])('$args', ({ args, all, operands }) => {
    const options = parseOptions(args, spec)
    expect([options.all, options.operands]).toEqual([all, operands])
  })

  test.each([['-z'], ['--none'], ['-m'], ['--mod']])('%s is refused', (arg) => {
    expect(() => parseOptions([arg], spec)).toThrow()
  })
})

test.each([
  { text: '755', mode: 0, dir: false, umask: 0, want: 0o755 },
  { text: '755', mode: 0o2000, dir: true, umask: 0, want: 0o2755 },
  { text: '00755', mode: 0o2000, dir: true, umask: 0, want: 0o755 },
  { text: 'u+x,go-r', mode: 0o644, dir: false, umask: 0o022, want: 0o700 },
  { text: '+w', mode: 0o444, dir: false, umask: 0o022, want: 0o644 },
  { text: 'a+X', mode: 0o644, dir: false, umask: 0, want: 0o644 },
  { text: 'a+X', mode: 0o644, dir: true, umask: 0, want: 0o755 },
  { text: 'g=u', mode: 0o640, dir: false, umask: 0, want: 0o660 },
])('mode $text on $mode', ({ text, mode, dir, umask, want }) =>
  expect(parseMode(text, mode, dir, umask).toString(8)).toBe(want.toString(8)),
)

test.each([
  { text: '10', want: 10 },
  { text: '1K', want: 1024 },
  { text: '2kB', want: 2000 },
  { text: '3b', want: 1536 },
])('size $text', ({ text, want }) => expect(parseSize(text)).toBe(want))

test.each([
  { pattern: '*.c', yes: ['a.c', '.c', 'a\n.c'], no: ['a.h', 'a.c.d'] },
  { pattern: 'a?[0-9]', yes: ['ab1'], no: ['a1', 'abx'] },
  { pattern: '[!a]', yes: ['b'], no: ['a', ''] },
  { pattern: '\\*', yes: ['*'], no: ['x'] },
  { pattern: '[]x]', yes: [']', 'x'], no: ['y'] },
])('glob $pattern', ({ pattern, yes, no }) => {
  for (const text of yes) expect([text, globToRegExp(pattern).test(text)]).toEqual([text, true])
  for (const text of no) expect([text, globToRegExp(pattern).test(text)]).toEqual([text, false])
})

test.each([
  { base: '/a/b', path: '../c', want: '/a/c' },
  { base: '/', path: '..', want: '/' },
  { base: '/a', path: '/x/./y//z', want: '/x/y/z' },
])('$base + $path', ({ base, path, want }) => expect(resolvePath(base, path)).toBe(want))

test('diff: what is removed and added makes one text of the other', () => {
  const line = fc.constantFrom('a', 'b', 'c')
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.array(line, { maxLength: 12 }), (a, b) => {
      const out: string[] = []
      let at = 0
      for (const { fromA, removed, added, fromB } of compareLines(a, b)) {
        out.push(...a.slice(at, fromA))
        expect(out.length).toBe(fromB)
        expect(a.slice(fromA, fromA + removed.length)).toEqual(removed)
        out.push(...added)
        at = fromA + removed.length
      }
      expect([...out, ...a.slice(at)]).toEqual(b)
    }),
  )
})

test('a quoted word is one word and the same', async () => {
  const shell = shellExecutor()
  await fc.assert(
    fc.asyncProperty(
      fc.string({
        unit: fc.constantFrom('a', ' ', "'", '"', '$', '`', '\\', '\n', '*', '{', '}', ',', '~', '!', 'é'),
      }),
      async (word) => {
        const { stdout } = await runLine(shell, smallRoot(), `printf '[%s]' ${quoteWord(word)}`)
        expect(stdout).toBe(`[${word}]`)
      },
    ),
    { numRuns: runs(60) },
  )
})

/** Exit code, and what the line changed. */
async function effect(line: string, changes = {}): Promise<readonly [number, Record<string, string>]> {
  const view = UnionView.open(configuration())
  const { exitCode } = await runLine(shellExecutor(), view, line, changes)
  return [exitCode, effectOf(view.base, view.snapshot())]
}

// Debian's dash gave each of these.
test.each([
  { line: "printf '%s\\n'", want: '\n' },
  { line: "printf '%s-%s\\n' a b c", want: 'a-b\nc-\n' },
  {
    line: "printf '%5d|%-5d|%05d|%+d|%x|%X|%o|%#x' 42 42 42 42 255 255 8 255",
    want: '   42|42   |00042|+42|ff|FF|10|0xff',
  },
  { line: "printf '%.2f %e %g' 3.14159 12345.678 0.5", want: '3.14 1.234568e+04 0.5' },
  { line: "printf '%b' 'a\\tb\\0101\\cX' more", want: 'a\tbA' },
  { line: "printf '%c%c%%' hello world", want: 'hw%' },
  { line: 'printf "%d %d" 0x10 010; printf "%d" "\'A"', want: '16 865' },
  { line: "printf '%*d|%.3s' 6 7 abcdef", want: '     7|abc' },
  { line: "printf 'é\\303\\251'", want: 'éé' },
])('$line', async ({ line, want }) => {
  expect((await runLine(shellExecutor(), smallRoot(), line)).stdout).toBe(want)
})

describe('the shell', () => {
  test('bash where bash is asked for', async () => {
    const argv = ['/bin/bash', '-c', '[[ a == a ]] && mkdir {x,y}']
    expect(await effect('', { argv })).toEqual([0, { '/work/x': 'dir 755 0:0', '/work/y': 'dir 755 0:0' }])
  })

  test('exec form', async () => {
    expect(await effect('', { argv: ['touch', 'a b', '$HOME'] })).toEqual([
      0,
      { '/work/a b': 'file 644 0:0 x1 ', '/work/$HOME': 'file 644 0:0 x1 ' },
    ])
  })

  test('a script of the root with its interpreter line', async () => {
    const view = smallRoot()
    view.fs.mkdirSync('/dev/pipes')
    view.fs.writeFileSync('/dev/pipes/EOF', '#!/bin/sh\necho "$0" > out\n', { mode: 0o755 })
    for (const argv of [['/bin/sh', '-c', '/dev/pipes/EOF'], ['/dev/pipes/EOF']]) {
      const { exitCode } = await runLine(shellExecutor(), view, '/dev/pipes/EOF', { argv })
      expect([exitCode, view.fs.readFileSync('/work/out', 'utf8')]).toEqual([0, '/dev/pipes/EOF\n'])
      view.fs.rmSync('/work/out')
    }
  })

  test('a user: what it makes is its own, what it must not is refused, and the line goes on', async () => {
    const [exitCode, changes] = await effect(
      'cd /tmp && echo x > mine; echo y > /etc/passwd || echo refused > no; mkfifo p; mkdir /opt/x 2>> no; chown root mine 2> why; cat why | wc -l > n',
      { user: 'games' },
    )
    expect(exitCode).toBe(0)
    expect(changes).toMatchObject({
      '/tmp/mine': 'file 644 5:60 x1 x\n',
      '/tmp/no': "file 644 5:60 x1 refused\nmkdir: cannot create directory '/opt/x': Permission denied\n",
      '/tmp/p': 'fifo 644 5:60',
      '/tmp/n': 'file 644 5:60 x1 1\n',
    })
    expect(changes['/etc/passwd']).toBeUndefined()
  })

  test('a redirection under set -e ends the line with 2; without, only its command', async () => {
    expect(await effect('set -e; echo x > /no/where; touch never')).toEqual([2, {}])
    expect(await effect('{ echo a; echo b; } > /no/where; touch after')).toEqual([
      0,
      { '/work/after': 'file 644 0:0 x1 ' },
    ])
  })

  test('a pipe into if and case', async () => {
    const { stdout } = await runLine(
      shellExecutor(),
      smallRoot(),
      'echo a | if true; then cat; fi; echo b | case x in x) cat;; esac',
    )
    expect(stdout).toBe('a\nb\n')
  })

  test('nothing of its own is written: no stub of a command, no /dev, no /proc', async () => {
    expect(await effect('ls / > /dev/null; which ls > /dev/null; command -v tar > /dev/null; true')).toEqual([
      0,
      {},
    ])
  })

  test('the host is out of reach', async () => {
    const { stdout, exitCode } = await runLine(
      shellExecutor(),
      smallRoot(),
      'cat /proc/self/environ /etc/debian_version; ls /work/main; curl -s http://localhost',
    )
    expect([stdout, exitCode]).toEqual(['', 127])
  })

  test('bytes that are no UTF-8 pass through pipes and files', async () => {
    const view = smallRoot()
    await runLine(
      shellExecutor(),
      view,
      "printf '\\377\\000\\n' > f; cat f | tee g > h; cp f i; dd if=f of=j 2>/dev/null",
    )
    for (const name of 'fghij')
      expect([...(view.fs.readFileSync(`/work/${name}`) as Uint8Array)]).toEqual([255, 0, 10])
  })
})
