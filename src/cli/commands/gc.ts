import { cacheRoots } from 'lamella/builder'
import { applyGc, planGc, type GcPlan } from 'lamella/store'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { duration, formatBytes, shortDigest } from '../format.js'
import { openStore } from '../store.js'

/** What may belong to work that is not recorded yet. */
function youngNote({ young }: GcPlan): string {
  return young.length === 0 ? '' : `; ${young.length} are too young to tell and stay (--grace)`
}

export const command: Command = {
  name: 'gc',
  summary: 'remove blobs that nothing needs',
  synopsis: '[options]',
  description:
    'What an image, a lease or the build cache needs stays, and so does what is too young to tell. Safe while others\n' +
    "build. 'lamella prune' makes the build cache need less first.",
  options: [
    { name: 'grace', value: 'TIME', help: 'spare what is younger (default: 1h)' },
    { name: 'dry-run', help: 'list what would go, and remove nothing' },
    JSON_OUTPUT,
    STORE,
  ],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const grace = args.string('grace')
    const plan = await planGc(store, {
      ...(grace === undefined ? {} : { graceMs: duration(grace, 'grace') }),
      keep: await cacheRoots(store),
      signal: io.signal,
    })
    if (args.flag('dry-run')) {
      if (args.flag('json')) await io.write(JSON.stringify(plan, undefined, 2) + '\n')
      else {
        const lines = plan.remove.map(
          ({ digest, size, reason, ref }) =>
            `would remove ${shortDigest(digest)}  ${formatBytes(size)}  ${reason}${ref === undefined ? '' : ` (was ${ref})`}\n`,
        )
        await io.write(lines.join(''))
        io.note(
          `${plan.remove.length} blobs, ${formatBytes(plan.removeBytes)}; ${plan.keptCount} stay (${formatBytes(plan.keptBytes)})\n`,
        )
      }
      return 0
    }
    const result = await applyGc(store, plan, { signal: io.signal })
    if (args.flag('json')) await io.write(JSON.stringify(result, undefined, 2) + '\n')
    else {
      await io.write(result.removed.map(({ digest }) => `removed ${digest}\n`).join(''))
      io.note(`${result.removed.length} blobs, ${formatBytes(result.removedBytes)} freed${youngNote(plan)}\n`)
    }
    return 0
  },
}
