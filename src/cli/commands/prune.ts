import { statfsSync } from 'node:fs'
import { cacheRoots, listCacheRecords, pruneCache } from 'lamella/builder'
import {
  applyGc,
  defaultPrunePolicies,
  dockerPrunePolicies,
  planGc,
  planPrune,
  type CacheRecordInfo,
  type DiskSpace,
  type PrunePlan,
  type PrunePolicy,
} from 'lamella/store'
import { JSON_OUTPUT, STORE, UsageError, type Arguments, type Command } from '../command.js'
import { duration, formatBytes, printable, table } from '../format.js'
import { openStore } from '../store.js'

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 }

/** `500MB`, `2g`, `1024`; powers of 1000. */
function size(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)b?$/i.exec(text)
  if (match === null) throw new UsageError(`--${option} ${text}: expected a size such as 500MB`)
  return Math.round(Number(match[1]) * SIZE_UNITS[match[2]!.toLowerCase()]!)
}

function policies(args: Arguments, space: DiskSpace): readonly PrunePolicy[] {
  if (args.flag('default-policy')) return defaultPrunePolicies(space)
  if (args.flag('docker-policy')) return dockerPrunePolicies(space)
  const optional = <T>(option: string, read: (text: string, option: string) => T): T | undefined => {
    const text = args.string(option)
    return text === undefined ? undefined : read(text, option)
  }
  const filter = readFilters(args.strings('filter'))
  const keepDurationMs = optional('keep-duration', duration) ?? filter.keepDurationMs
  const reservedSpace = optional('reserved-space', size)
  const maxUsedSpace = optional('max-used-space', size)
  const minFreeSpace = optional('min-free-space', size)
  return [
    {
      filters: filter.selectors === '' ? [] : [filter.selectors],
      all: args.flag('all'),
      ...(keepDurationMs === undefined ? {} : { keepDurationMs }),
      ...(reservedSpace === undefined ? {} : { reservedSpace }),
      ...(maxUsedSpace === undefined ? {} : { maxUsedSpace }),
      ...(minFreeSpace === undefined ? {} : { minFreeSpace }),
    },
  ]
}

/**
 * `KEY=VALUE` as `docker buildx prune --filter` has it, where all must hold; `until` and `unused-for` spare what was used
 * within that time, and an id may be a part of one. BuildKit's own operators (`type==regular`, `description~=npm`) are
 * taken as they are.
 */
function readFilters(filters: readonly string[]): {
  readonly selectors: string
  readonly keepDurationMs: number | undefined
} {
  const selectors: string[] = []
  let keepDurationMs: number | undefined
  for (const filter of filters) {
    const [, key = '', value = ''] = /^\s*([a-z-]+)=(?!=)(.*)$/s.exec(filter) ?? []
    if (key === 'until' || key === 'unused-for') keepDurationMs = duration(value, `filter ${key}`)
    else if (key === '') selectors.push(filter)
    else selectors.push(`${key}${key === 'id' ? '~=' : '=='}${JSON.stringify(value)}`)
  }
  return { selectors: selectors.join(','), keepDurationMs }
}

function plannedPrune(
  records: readonly CacheRecordInfo[],
  policy: readonly PrunePolicy[],
  space: DiskSpace,
): PrunePlan {
  try {
    return planPrune(records, policy, { nowMs: Date.now(), space })
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message)
    throw error
  }
}

export const command: Command = {
  name: 'prune',
  summary: 'remove what is old or rarely used from the build cache',
  synopsis: '[options]',
  description:
    'By the rules of BuildKit: old and rarely used records go first, until the limits hold; without limits everything that\n' +
    'matches goes. Records whose layers an image has stay without --all. What nothing needs afterwards is removed too.',
  options: [
    { name: 'all', short: 'a', help: 'also records that images share, and internal ones' },
    {
      name: 'filter',
      value: 'KEY=VALUE',
      multiple: true,
      help: 'only such records, e.g. type=exec.cachemount, description~=npm or until=48h',
    },
    { name: 'keep-duration', value: 'TIME', help: 'spare what was used within it, e.g. 48h' },
    { name: 'reserved-space', value: 'SIZE', help: 'always keep this much' },
    { name: 'max-used-space', value: 'SIZE', help: 'keep no more than this' },
    { name: 'min-free-space', value: 'SIZE', help: 'until this much of the disk is free' },
    { name: 'default-policy', help: 'the rules that BuildKit applies by itself' },
    { name: 'docker-policy', help: 'those of the BuildKit in Docker Engine' },
    { name: 'dry-run', help: 'list what would go, and remove nothing' },
    JSON_OUTPUT,
    STORE,
  ],
  examples: ['lamella prune --keep-duration 48h', 'lamella prune --filter type=exec.cachemount'],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const stat = statfsSync(store.path!)
    const space = { total: stat.blocks * stat.bsize, free: stat.bavail * stat.bsize }
    const plan = plannedPrune(await listCacheRecords(store), policies(args, space), space)
    const isDryRun = args.flag('dry-run')
    if (args.flag('json')) await io.write(JSON.stringify(plan, undefined, 2) + '\n')
    else {
      const rows = plan.remove.map((record) => [
        record.key.slice(0, 18),
        record.type,
        formatBytes(record.size),
        printable(record.description ?? ''),
      ])
      await io.write(table(['RECORD', 'TYPE', '>SIZE', 'WHAT'], rows))
    }
    if (!isDryRun) {
      await pruneCache(store, plan)
      const { removedBytes } = await applyGc(store, await planGc(store, { keep: await cacheRoots(store) }))
      io.note(`${plan.remove.length} records removed, ${formatBytes(removedBytes)} freed\n`)
    } else
      io.note(`${plan.remove.length} records, ${formatBytes(plan.removeBytes)}; ${plan.keptCount} stay\n`)
    return 0
  },
}
