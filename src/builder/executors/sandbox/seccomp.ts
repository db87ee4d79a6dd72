// The system calls that a RUN may not make, as a filter for the kernel: what docker's default profile denies to a container
// without privileges. Most of it needs a capability that a RUN has not; the filter keeps also what a bug would let through,
// what is not kept apart by namespaces (keyrings), and user namespaces, in which a process has every capability. Pure.
// @see Linux Documentation/userspace-api/seccomp_filter.rst; docker docs, "Seccomp security profiles for Docker"

interface Machine {
  /** AUDIT_ARCH_*, as struct seccomp_data has it. */
  readonly audit: number
  readonly denied: string
  readonly clone: number
  /** Numbers from here on are another table's. */
  readonly end?: number
}

/** Calls with one number everywhere: io_uring, the newer mount calls, quotactl_fd. */
const EVERYWHERE = '425-433 442 443'
const CLONE3 = 435

// By name: acct add_key bpf clock_adjtime clock_settime create_module delete_module fanotify_init finit_module get_kernel_syms
// init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount move_pages nfsservctl
// open_by_handle_at perf_event_open pivot_root query_module quotactl reboot request_key setns settimeofday stime swapoff
// swapon sysfs _sysctl syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old, as far as there are any.
const X86_64: Machine = {
  audit: 0xc000003e,
  denied:
    '163 248 321 305 227 174 176 300 313 177 175 173 172 312 320 246 250 212 165 279 180 304 298 155 178 179 169 249 308 164 168 167 139 156 103 166 272 134 323 136 153',
  clone: 56,
  end: 0x40000000,
}
const I386: Machine = {
  audit: 0x40000003,
  denied:
    '51 286 357 343 264 404 405 127 129 338 350 130 128 101 110 349 283 288 253 21 317 169 342 336 217 167 131 88 287 346 79 25 115 87 135 149 103 22 52 310 86 374 62 111 166 113',
  clone: 120,
}
const AARCH64: Machine = {
  audit: 0xc00000b7,
  denied:
    '89 217 280 266 112 106 262 273 105 272 294 104 219 18 40 239 42 265 241 41 60 142 218 268 170 225 224 116 39 97 282 58',
  clone: 220,
}

const MACHINES: Readonly<Record<string, readonly Machine[]>> = { x64: [X86_64, I386], arm64: [AARCH64] }

// Of struct sock_filter and of a filter's answers: linux/bpf_common.h, linux/seccomp.h
const LOAD = 0x20
const IF_EQUAL = 0x15
const IF_AT_LEAST = 0x35
const IF_ANY_BIT = 0x45
const RETURN = 0x06
const ALLOW = 0x7fff0000
const EPERM = 0x00050001
const ENOSYS = 0x00050026
const NUMBER = 0
const AUDIT = 4
/** The lower half of the first argument; all machines here are little-endian. */
const ARGUMENT = 16

/** CLONE_NEW* of the namespaces that clone(2) can make. */
const NEW_NAMESPACES = 0x7e020000

type Instruction = readonly [code: number, value: number, then?: number, otherwise?: number]

/** The program, in the kernel's form; `undefined` for a machine whose numbers are not known here. @param arch as `process.arch` */
export function seccompFilter(arch: string): Uint8Array | undefined {
  const machines = MACHINES[arch]
  if (machines === undefined) return undefined
  // Calls of another machine's are none.
  return encode([...machines.flatMap(checksOf), [RETURN, ENOSYS]])
}

function checksOf(machine: Machine): Instruction[] {
  const { audit, denied, clone, end } = machine
  const checks: Instruction[] = [[LOAD, NUMBER]]
  const answer = (code: number, value: number, result: number): void =>
    void checks.push([code, value, 0, 1], [RETURN, result])
  if (end !== undefined) answer(IF_AT_LEAST, end, ENOSYS)
  for (const number of numbersOf(`${denied} ${EVERYWHERE}`)) answer(IF_EQUAL, number, EPERM)
  // Its flags are in memory, where a filter cannot look; libraries go back to clone(2).
  answer(IF_EQUAL, CLONE3, ENOSYS)
  checks.push([IF_EQUAL, clone, 0, 3], [LOAD, ARGUMENT])
  answer(IF_ANY_BIT, NEW_NAMESPACES, EPERM)
  checks.push([RETURN, ALLOW])
  return [[LOAD, AUDIT], [IF_EQUAL, audit, 0, checks.length], ...checks]
}

function numbersOf(text: string): number[] {
  return text.split(' ').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number) as [number, number?]
    return Array.from({ length: last! - first + 1 }, (_, i) => first + i)
  })
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8)
  const view = new DataView(bytes.buffer)
  for (const [i, [code, value, then = 0, otherwise = 0]] of program.entries()) {
    view.setUint16(i * 8, code, true)
    view.setUint8(i * 8 + 2, then)
    view.setUint8(i * 8 + 3, otherwise)
    view.setUint32(i * 8 + 4, value, true)
  }
  return bytes
}
