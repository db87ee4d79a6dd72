import { cacheRoots, listCacheRecords } from 'lamella/builder'
import { diskUsage, type CacheRecordInfo } from 'lamella/store'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatBytes, printable, shortDigest, table } from '../format.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'df',
  summary: 'show what takes space in the store',
  synopsis: '[options]',
  description:
    'Images with the bytes that only they need and those that others share, the build cache, and what nothing needs: the\n' +
    "last is what 'lamella gc' removes, once it is an hour old.",
  options: [{ name: 'verbose', help: 'list the records of the build cache' }, JSON_OUTPUT, STORE],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const usage = await diskUsage(store, { keep: await cacheRoots(store) })
    const records = await listCacheRecords(store)
    if (args.flag('json')) {
      await io.write(JSON.stringify({ ...usage, records }, undefined, 2) + '\n')
      return 0
    }
    const mounts = records.filter(({ type }) => type === 'exec.cachemount')
    const steps = records.filter(({ type }) => type === 'regular')
    const bytes = (list: readonly { size: number }[]) => list.reduce((sum, { size }) => sum + size, 0)
    const images = usage.images.map((image) => [
      image.names.join(', '),
      shortDigest(image.digest),
      formatBytes(image.size),
      formatBytes(image.uniqueBytes),
      formatBytes(image.sharedBytes),
      image.missing === 0 ? '' : `${image.missing} blobs missing`,
    ])
    await io.write(table(['IMAGE', 'DIGEST', '>SIZE', '>UNIQUE', '>SHARED', ''], images))
    const row = (name: string, count: number, size: number) => [name, String(count), formatBytes(size)]
    await io.write(
      '\n' +
        table(
          ['', '>COUNT', '>SIZE'],
          [
            row('blobs of images', usage.inImages.count, usage.inImages.size),
            row('blobs of containers and volumes', usage.inDocuments.count, usage.inDocuments.size),
            row('blobs that only the build cache needs', usage.cache.count, usage.cache.size),
            row('blobs under a lease', usage.leased.count, usage.leased.size),
            row('reclaimable', usage.unreferenced.count, usage.unreferenced.size),
            row('all blobs', usage.total.count, usage.total.size),
            row('build cache: steps', steps.length, bytes(steps)),
            row('build cache: cache mounts', mounts.length, bytes(mounts)),
          ],
        ),
    )
    if (args.flag('verbose')) await io.write('\n' + describeRecords([...steps, ...mounts]))
    return 0
  },
}

/** As `docker buildx du --verbose` prints them. */
function describeRecords(records: readonly CacheRecordInfo[]): string {
  const known = new Set(records.map(({ key }) => key))
  return records.map((record) => describeRecord(record, known)).join('\n')
}

function describeRecord(record: CacheRecordInfo, known: ReadonlySet<string>): string {
  const isMount = record.type === 'exec.cachemount'
  // Keys that only lead to others are no records that one could look for.
  const parents = (record.parents ?? []).filter((parent) => known.has(parent))
  const lines: [string, string][] = [
    ['ID', record.key],
    ...(parents.length === 0 ? [] : [['Parents', ''] as [string, string]]),
    ['Created at', time(record.createdMs)],
    ['Mutable', String(isMount)],
    ['Reclaimable', String(record.inUse !== true)],
    ['Shared', String(record.shared)],
    ['Size', formatBytes(record.size)],
    ['Description', printable(record.description ?? '')],
    ['Usage count', String(record.useCount)],
    ['Last used', time(record.lastUsedMs)],
    ['Type', record.type],
  ]
  return lines
    .flatMap(([name, value]) =>
      name === 'Parents'
        ? ['Parents:', ...parents.map((parent) => ` - ${parent}`)]
        : [`${name}:`.padEnd(14) + value],
    )
    .map((line) => line.trimEnd() + '\n')
    .join('')
}

function time(ms: number | undefined): string {
  return ms === undefined ? '' : `${new Date(ms).toISOString().slice(0, 19)}Z`
}
