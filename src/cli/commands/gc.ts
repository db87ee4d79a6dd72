import { cacheRoots } from 'lamella/builder'
import { applyGc, planGc } from 'lamella/store'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatBytes, shortDigest } from '../format.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'gc',
  summary: 'remove blobs that nothing needs',
  synopsis: '[options]',
  description:
    'What an image, a lease or the build cache needs stays, and so does what is too young to tell. Safe while others\n' +
    "build. 'lamella prune' makes the build cache need less first.",
  options: [{ name: 'dry-run', help: 'list what would go, and remove nothing' }, JSON_OUTPUT, STORE],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const plan = await planGc(store, { keep: await cacheRoots(store), signal: io.signal })
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
      io.note(`${result.removed.length} blobs, ${formatBytes(result.removedBytes)} freed\n`)
    }
    return 0
  },
}
