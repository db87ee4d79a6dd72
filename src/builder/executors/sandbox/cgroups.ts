// Limits of a run by control groups: groups of its own below ours, in version 1's hierarchies or in version 2's. Effect.
//
// Below ours, so that whatever limits us limits what we start. The groups are written down before they are made: the next
// start removes what we could not.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BuildError } from '../../../errors.js'
import type { ExecLimits } from '../../executor.js'

/** A place where groups can be made, as /proc tells it. */
export interface Hierarchy {
  readonly version: 1 | 2
  /** Of version 1; version 2 says in its own files which ones it has. */
  readonly controllers: readonly string[]
  /** The folder of the group that we are in, and of the topmost one that can be seen. */
  readonly own: string
  readonly top: string
}

/**
 * @param mountinfo  /proc/self/mountinfo
 * @param membership  /proc/self/cgroup
 * @see proc(5), cgroups(7)
 */
export function parseHierarchies(mountinfo: string, membership: string): Hierarchy[] {
  const groups = membership.split('\n').flatMap((line) => {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    return id === undefined ? [] : [{ controllers: controllers!.split(','), path: path! }]
  })
  return mountinfo.split('\n').flatMap((line) => {
    const [head, tail] = line.split(' - ')
    const [type, , options] = tail?.split(' ') ?? []
    const [, , , root, top] = (head ?? '').split(' ').map(unescape)
    if ((type !== 'cgroup' && type !== 'cgroup2') || root === undefined || top === undefined) return []
    const version = type === 'cgroup' ? 1 : 2
    const names = version === 1 ? (options ?? '').split(',') : ['']
    const group = groups.find(({ controllers }) => controllers.some((name) => names.includes(name)))
    if (group === undefined) return []
    const below = isWithin(root, group.path) ? group.path.slice(root === '/' ? 0 : root.length) : ''
    const controllers = version === 1 ? group.controllers : []
    return [{ version, controllers, own: join(top, below === '/' ? '' : below), top }]
  })
}

const isWithin = (root: string, path: string): boolean =>
  root === '/' || path === root || path.startsWith(`${root}/`)

const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))

/** bubblewrap's two processes, which are in the group as well. */
const OWN_PROCESSES = 2
const CPU_PERIOD_US = 100_000

type Controller = 'memory' | 'pids' | 'cpu'

interface Setting {
  readonly file: string
  readonly value: string
  /** Not every kernel has it, and the limit holds without. */
  readonly optional?: boolean
}

/** As docker sets them: swap as much again as memory. */
function settingsOf(limits: ExecLimits, version: 1 | 2): Map<Controller, readonly Setting[]> {
  const { memoryBytes, pids, cpus } = limits
  const settings = new Map<Controller, readonly Setting[]>()
  if (memoryBytes !== undefined) {
    const memory = String(memoryBytes)
    const swap = version === 1 ? String(memoryBytes * 2) : memory
    const names =
      version === 1
        ? (['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'] as const)
        : (['memory.max', 'memory.swap.max'] as const)
    settings.set('memory', [
      { file: names[0], value: memory },
      { file: names[1], value: swap, optional: true },
    ])
  }
  if (pids !== undefined) settings.set('pids', [{ file: 'pids.max', value: String(pids + OWN_PROCESSES) }])
  if (cpus !== undefined) {
    const quota = String(Math.max(1000, Math.round(cpus * CPU_PERIOD_US)))
    const period = String(CPU_PERIOD_US)
    const ofOne = [
      { file: 'cpu.cfs_period_us', value: period },
      { file: 'cpu.cfs_quota_us', value: quota },
    ]
    settings.set('cpu', version === 1 ? ofOne : [{ file: 'cpu.max', value: `${quota} ${period}` }])
  }
  return settings
}

export const hasLimits = ({ memoryBytes, pids, cpus }: ExecLimits): boolean =>
  memoryBytes !== undefined || pids !== undefined || cpus !== undefined

interface Kernel {
  readonly hierarchies: readonly Hierarchy[]
  readonly makeFolder: (path: string) => void
}

/** The groups of one run. */
export class RunGroups {
  readonly #folders: string[] = []
  #memory: { readonly path: string; readonly version: 1 | 2 } | undefined

  private constructor(
    private readonly record: string,
    private readonly makeFolder: (path: string) => void,
  ) {}

  /**
   * Makes the groups that the limits need.
   * @param name  of the groups; nobody else's
   * @param record  file that says which groups there are; for `removeRecordedGroups`
   * @param kernel  what stands for the kernel's
   * @throws BuildError EXECUTOR_CAPABILITY where this machine does not let us
   */
  static create(limits: ExecLimits, name: string, record: string, kernel: Partial<Kernel> = {}): RunGroups {
    const hierarchies = kernel.hierarchies ?? ownHierarchies()
    const groups = new RunGroups(record, kernel.makeFolder ?? mkdirSync)
    const inOne = (controller: Controller): Hierarchy | undefined =>
      hierarchies.find(({ version, controllers }) => version === 1 && controllers.includes(controller))
    const wanted = [...settingsOf(limits, 1).keys()]
    try {
      for (const controller of wanted) {
        const hierarchy = inOne(controller)
        if (hierarchy !== undefined) groups.#limit([controller], limits, 1, [join(hierarchy.own, name)])
      }
      const rest = wanted.filter((controller) => inOne(controller) === undefined)
      const two = hierarchies.find(({ version }) => version === 2)
      const folders = two === undefined ? [] : parentsInTwo(two, rest).map((parent) => join(parent, name))
      if (rest.length > 0) groups.#limit(rest, limits, 2, folders)
    } catch (error) {
      groups.#removeNow()
      throw error
    }
    return groups
  }

  /** Where a process writes 0 to belong to a group. */
  get procs(): readonly string[] {
    return this.#folders.map((folder) => join(folder, 'cgroup.procs'))
  }

  /** Whether the kernel has killed a process of the run because its memory was used up. */
  get oomKilled(): boolean {
    if (this.#memory === undefined) return false
    const { path, version } = this.#memory
    const text = readIfThere(join(path, version === 1 ? 'memory.oom_control' : 'memory.events'))
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0) > 0
  }

  /** The kernel may hold on to a group for a moment after its last process. */
  async remove(): Promise<void> {
    for (let wait = 1; !this.#removeNow() && wait < 1000; wait *= 2) await sleep(wait)
  }

  /** In the first of the folders where it can be done. */
  #limit(
    controllers: readonly Controller[],
    limits: ExecLimits,
    version: 1 | 2,
    folders: readonly string[],
  ): void {
    const settings = settingsOf(limits, version)
    let reason: string | undefined
    for (const folder of folders) {
      try {
        this.#make(folder)
        for (const controller of controllers) {
          for (const { file, value, optional } of settings.get(controller)!) {
            write(join(folder, file), value, optional === true)
          }
        }
        if (controllers.includes('memory')) this.#memory = { path: folder, version }
        return
      } catch (error) {
        reason ??= (error as Error).message
        if (this.#folders.at(-1) === folder && removeGroup(folder)) this.#folders.pop()
      }
    }
    throw cannotLimit(controllers, reason)
  }

  #make(folder: string): void {
    // Two controllers of version 1 may have one hierarchy.
    if (this.#folders.includes(folder)) return
    writeFileSync(this.record, [...this.#folders, folder].map((path) => `${path}\n`).join(''))
    this.makeFolder(folder)
    this.#folders.push(folder)
  }

  #removeNow(): boolean {
    const left = this.#folders.filter((folder) => !removeGroup(folder))
    this.#folders.splice(0, this.#folders.length, ...left)
    return left.length === 0
  }
}

/**
 * Groups of version 2 in which children can have the controllers, the nearest first. One with processes of its own cannot
 * hand controllers on, unless it is the root.
 */
function parentsInTwo({ own, top }: Hierarchy, controllers: readonly Controller[]): string[] {
  const parents: string[] = []
  for (let at = own; ; at = dirname(at)) {
    const has = (file: string): boolean => {
      const words = readIfThere(join(at, file)).trim().split(/\s+/)
      return controllers.every((controller) => words.includes(controller))
    }
    if (has('cgroup.subtree_control') || (has('cgroup.controllers') && handOn(at, controllers)))
      parents.push(at)
    if (at === top || at === dirname(at)) return parents
  }
}

/** @returns whether it could; it is not always ours to do, and a group with processes cannot */
function handOn(group: string, controllers: readonly Controller[]): boolean {
  try {
    const text = controllers.map((controller) => `+${controller}`).join(' ')
    writeFileSync(join(group, 'cgroup.subtree_control'), text, { flag: 'r+' })
    return true
  } catch {
    return false
  }
}

function write(path: string, value: string, optional: boolean): void {
  try {
    // Without O_CREAT: what the kernel does not have must not look as if it had taken it.
    writeFileSync(path, value, { flag: 'r+' })
  } catch (error) {
    if (!optional) throw error
  }
}

function ownHierarchies(): Hierarchy[] {
  return parseHierarchies(readIfThere('/proc/self/mountinfo'), readIfThere('/proc/self/cgroup'))
}

/** @returns whether it has gone */
function removeGroup(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** Removes what a run that was cut short has left. */
export function removeRecordedGroups(record: string): void {
  for (const folder of readIfThere(record).split('\n')) if (folder !== '') removeGroup(folder)
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

const LIMITS: Readonly<Record<Controller, string>> = {
  memory: 'a memory limit',
  pids: 'a limit of processes',
  cpu: 'a limit of processors',
}

function cannotLimit(controllers: readonly Controller[], reason: string | undefined): BuildError {
  const feature = controllers.map((controller) => LIMITS[controller]).join(' and ')
  const why = reason ?? `no control group of this machine can hand on ${controllers.join(' and ')}`
  return new BuildError(
    'EXECUTOR_CAPABILITY',
    `the executor sandbox cannot set ${feature} here (${why}): it needs root or a delegated control group, and no other executor could`,
    { data: { executor: 'sandbox', feature, able: [], reason: why } },
  )
}
