import { refNameOf } from 'lamella/oci'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { shortDigest, table } from '../format.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'reflog',
  summary: 'show what a name pointed at before',
  synopsis: '[options] NAME',
  options: [JSON_OUTPUT, STORE],
  operands: [1, 1],
  async run(args, io) {
    await using store = await openStore(args, io)
    const name = refNameOf(args.operands[0]!)
    const changes = await store.refs.history(name)
    if (args.flag('json')) {
      const rows = changes.map(({ timeNs, before, after }) => ({
        timeNs: String(timeNs),
        before: before?.digest ?? null,
        after: after?.digest ?? null,
      }))
      await io.write(JSON.stringify(rows, undefined, 2) + '\n')
    } else {
      const rows = changes.map(({ timeNs, before, after }, i) => [
        `${name}@{${i}}`,
        new Date(Number(timeNs / 1_000_000n)).toISOString(),
        after === undefined ? 'removed' : shortDigest(after.digest),
        before === undefined ? 'created' : `was ${shortDigest(before.digest)}`,
      ])
      await io.write(table(['VERSION', 'TIME', 'DIGEST', 'CHANGE'], rows))
    }
    if (changes.length > 0) return 0
    io.note(`ERROR: no changes of ${JSON.stringify(name)} are known [REF_NOT_FOUND]\n`)
    return 1
  },
}
