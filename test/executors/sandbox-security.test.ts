// Breaking out of the sandbox, tried from inside: the kernel's settings, system calls, other processes' files, and processes
// that will not end.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { coversOf } from '../../src/builder/executors/sandbox/bubblewrap.js'
import { seccompFilter } from '../../src/builder/executors/sandbox/seccomp.js'
import { UnionView } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import { busyboxRoot, canSandbox, removeSandboxFolders } from './harness.js'
import { isRoot, processesWith, sandboxOver, sandboxTest } from './sandbox-harness.js'

const folder = mkdtempSync(join(tmpdir(), 'lamella-security-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
  removeSandboxFolders()
})

describe('the kernel’s settings', () => {
  sandboxTest('cannot be written to, by root or by a user', async () => {
    const { run } = await sandboxOver()
    const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
    for (const user of ['', 'games']) {
      const { stdout, stderr } = await run(
        [
          'echo "|/work/evil" > /proc/sys/kernel/core_pattern; echo $?',
          'cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness; echo $?',
          'cat /proc/sys/net/ipv4/ip_forward > /proc/sys/net/ipv4/ip_forward; echo $?',
          'echo h > /proc/sysrq-trigger; echo $?',
        ].join('; '),
        { user },
      )
      expect(stdout).toBe('1\n1\n1\n1\n')
      expect(stderr).toMatch(/Read-only|denied/)
    }
    expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8')).toBe(before)
  })

  sandboxTest('none of /proc/sys can be opened for writing', async () => {
    const { run } = await sandboxOver()
    const { stdout } = await run(
      'find /proc/sys -type f | while read -r f; do if (: >> "$f") 2>/dev/null; then echo "$f"; fi; done | head -3',
    )
    expect(stdout).toBe('')
  })

  sandboxTest('keys, timers and memory of the machine are not shown', async () => {
    const { run } = await sandboxOver()
    const { stdout } = await run(
      'for f in keys timer_list kcore sched_debug; do if test -e /proc/$f; then head -c 10 /proc/$f | wc -c; fi; done; ls /proc/acpi 2>/dev/null | wc -l; dmesg 2>/dev/null | wc -l',
    )
    expect(new Set(stdout.trim().split('\n'))).toEqual(new Set(['0']))
  })

  test('what the host does not have is not covered', () => {
    const has = new Map([
      ['sys', 'dir'],
      ['keys', 'file'],
      ['acpi', 'dir'],
    ] as const)
    const covers =
      '--ro-bind /proc/sys /proc/sys --tmpfs /proc/acpi --remount-ro /proc/acpi --ro-bind /empty /proc/keys'
    expect(coversOf('/empty', (name) => has.get(name as 'sys'))).toEqual(covers.split(' '))
    expect(coversOf('/empty', () => undefined)).toEqual([])
  })
})

/** A program of one system call, which ends with its errno: 64-bit ELF, loaded at 4 MiB. */
function programOf(code: readonly number[]): Uint8Array {
  const elf = Buffer.alloc(120 + code.length)
  elf.write('7f454c4602010100', 'hex')
  for (const [at, value] of [
    [16, 2],
    [18, 62],
    [52, 64],
    [54, 56],
    [56, 1],
  ] as const)
    elf.writeUInt16LE(value, at)
  elf.writeUInt32LE(1, 20)
  elf.writeBigUInt64LE(0x400078n, 24)
  elf.writeBigUInt64LE(64n, 32)
  elf.writeUInt32LE(1, 64)
  elf.writeUInt32LE(5, 68)
  for (const at of [80, 88]) elf.writeBigUInt64LE(0x400000n, at)
  for (const at of [96, 104]) elf.writeBigUInt64LE(BigInt(elf.length), at)
  elf.writeBigUInt64LE(0x1000n, 112)
  elf.set(code, 120)
  return elf
}

const imm = (value: number): number[] => [...Buffer.from(new Uint32Array([value]).buffer)]
const bytes = (...parts: readonly (number | number[])[]): number[] => parts.flat()
/** mov eax, number; mov edi, first; mov esi, second; xor edx, edx; xor r10d, r10d; syscall; neg eax; exit(eax) */
function call64(number: number, first = 0, second = 0): number[] {
  const set = bytes(0xb8, imm(number), 0xbf, imm(first), 0xbe, imm(second), 0x31, 0xd2, 0x45, 0x31, 0xd2)
  return bytes(set, 0x0f, 0x05, 0xf7, 0xd8, 0x89, 0xc7, 0xb8, imm(60), 0x0f, 0x05)
}
/** The same by the 32-bit entry. */
function call32(number: number, first = 0, second = 0): number[] {
  const set = bytes(0xb8, imm(number), 0xbb, imm(first), 0xb9, imm(second), 0x31, 0xd2, 0x31, 0xf6)
  return bytes(set, 0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, imm(1), 0xcd, 0x80)
}

describe('system calls', () => {
  const EPERM = 1
  const ENOSYS = 38
  const cases: readonly (readonly [name: string, code: number[], answer: number])[] = [
    ['add_key', call64(248), EPERM],
    ['request_key', call64(249), EPERM],
    ['keyctl', call64(250), EPERM],
    ['bpf', call64(321), EPERM],
    ['userfaultfd', call64(323), EPERM],
    ['io_uring_setup', call64(425, 1), EPERM],
    ['perf_event_open', call64(298), EPERM],
    ['open_by_handle_at', call64(304), EPERM],
    ['unshare of nothing', call64(272, 0), EPERM],
    ['unshare of the user namespace', call64(272, 0x10000000), EPERM],
    ['clone with a user namespace', call64(56, 0x10000011), EPERM],
    ['clone with a mount namespace', call64(56, 0x20011), EPERM],
    ['clone3', call64(435), ENOSYS],
    ['fsopen', call64(430), EPERM],
    ['keyctl by the 32-bit entry', call32(288), EPERM],
    ['unshare by the 32-bit entry', call32(310, 0x10000000), EPERM],
    ['clone by the 32-bit entry', call32(120, 0x10000011), EPERM],
    ['getpid by the x32 entry', call64(0x40000000 + 39), ENOSYS],
    ['what is allowed: setuid(0)', call64(105, 0), 0],
    ['what is allowed: setuid(0) by the 32-bit entry', call32(213, 0), 0],
  ]
  peerTest('that a RUN may not make', canSandbox && isRoot && process.arch === 'x64', async () => {
    const view = UnionView.open(await busyboxRoot())
    for (const [i, [, code]] of cases.entries()) {
      view.fs.writeFileSync(`/work/call${i}`, programOf(code), { mode: 0o755 })
    }
    const { run } = await sandboxOver(view.snapshot())
    const line = cases.map((_, i) => `./call${i}; echo $?`).join('; ')
    for (const user of ['', 'games']) {
      const { stdout } = await run(line, { user })
      const found = stdout.trim().split('\n').map(Number)
      const expected = cases.map(([name, , answer]) => [
        name,
        user !== '' && name.includes('setuid') ? EPERM : answer,
      ])
      expect(cases.map(([name], i) => [name, found[i]])).toEqual(expected)
    }
  })

  test('a filter for each machine whose numbers are known', () => {
    for (const arch of ['x64', 'arm64']) {
      const filter = seccompFilter(arch)!
      expect(filter.length % 8).toBe(0)
      // BPF_MAXINSNS
      expect(filter.length / 8).toBeLessThan(4096)
      // The first two look at the machine; a jump goes no further than 255.
      expect([...filter.subarray(0, 8)]).toEqual([0x20, 0, 0, 0, 4, 0, 0, 0])
      expect(filter[8]).toBe(0x15)
      expect(filter[11]).toBeGreaterThan(80)
    }
    expect(seccompFilter('riscv64')).toBeUndefined()
  })
})

describe('other processes', () => {
  sandboxTest('lead nowhere: no root, folder or descriptor of theirs is the host’s', async () => {
    const { run } = await sandboxOver()
    const marker = join(folder, 'of-the-host')
    writeFileSync(marker, '')
    const look = `for p in /proc/[0-9]*; do for at in root cwd; do if test -e $p/$at${marker}; then echo $p/$at; fi; done; ls -l $p/fd 2>/dev/null | grep -v "pipe\\|socket\\|/dev/null\\|anon_inode\\|/proc/" | grep " -> "; done; true`
    expect((await run(look)).stdout).toBe('')
  })
})

describe('a RUN that will not end as others do', () => {
  sandboxTest('closes its output and goes on: its exit code counts', async () => {
    const { run } = await sandboxOver()
    expect((await run('exec <&- >&- 2>&-; sleep 0.2; exit 5')).exitCode).toBe(5)
  })

  sandboxTest('leaves a process that holds the output: it ends with the command', async () => {
    const { run } = await sandboxOver()
    const mark = `741${process.pid}`
    const { stdout } = await run(`(trap "" TERM HUP INT; setsid sleep ${mark}) & echo done`)
    expect(stdout).toBe('done\n')
    expect(processesWith(`sleep\0${mark}`)).toEqual([])
  })

  sandboxTest('ignores signals: the time limit ends it', async () => {
    const { run, folder: runs } = await sandboxOver()
    const mark = `852${process.pid}`
    const line = `trap "" TERM HUP INT QUIT; sleep ${mark} & while :; do sleep ${mark}; done`
    await expect(run(line, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'RUN_FAILED' })
    expect(processesWith(`sleep\0${mark}`)).toEqual([])
    expect(readdirSync(join(runs, 'runs'))).toEqual([])
  })

  sandboxTest('writes without end: all of it arrives, in order, and none of it is held', async () => {
    const { run } = await sandboxOver()
    const MIB = 96
    let size = 0
    const before = process.memoryUsage().rss
    let most = 0
    const { exitCode } = await run(`dd if=/dev/zero bs=1M count=${MIB} 2>/dev/null`, {
      onOutput: (_, bytes) => {
        size += bytes.length
        most = Math.max(most, process.memoryUsage().rss)
      },
    })
    expect([exitCode, size]).toEqual([0, MIB << 20])
    expect(most - before).toBeLessThan(MIB << 20)
  })

  sandboxTest('kills all that it can: itself', async () => {
    const { run, folder: runs } = await sandboxOver()
    await run('kill -9 -1; sleep 0.1')
    expect((await run('kill -9 1; echo alive')).stdout).toBe('alive\n')
    expect(readdirSync(join(runs, 'runs'))).toEqual([])
  })
})
