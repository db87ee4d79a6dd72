import { cacheRoots } from 'lamella/builder'
import { checkStore, repairStore, type Problem } from 'lamella/store'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { openStore } from '../store.js'

function line({ severity, code, message }: Problem): string {
  return `${severity}  ${code}  ${message}\n`
}

export const command: Command = {
  name: 'fsck',
  summary: 'check the store, and repair it',
  synopsis: '[options]',
  description:
    'Hashes every blob, follows every reference, looks at all that is derived. Exit code 1 when something is wrong. Repair\n' +
    'removes only what can be made again, unless it is told more.',
  options: [
    { name: 'repair', help: 'repair what can be' },
    { name: 'remove-damaged', help: 'with --repair: also remove damaged blobs that cannot be made again' },
    { name: 'remove-dangling', help: 'with --repair: also remove names whose images are not whole' },
    {
      name: 'restore-index',
      help: 'with --repair: make an unreadable index.json anew from the histories of names',
    },
    { name: 'skip-content', help: 'do not hash blobs' },
    JSON_OUTPUT,
    STORE,
  ],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const found = await checkStore(store, {
      keep: await cacheRoots(store),
      skipContent: args.flag('skip-content'),
      signal: io.signal,
    })
    const repair = args.flag('repair')
      ? await repairStore(store, found, {
          removeDamaged: args.flag('remove-damaged'),
          removeDangling: args.flag('remove-dangling'),
          restoreIndex: args.flag('restore-index'),
        })
      : undefined
    const left = (repair?.left ?? found).filter(({ severity }) => severity !== 'note')
    if (args.flag('json')) {
      const result =
        repair === undefined ? { problems: found } : { problems: repair.left, repaired: repair.repaired }
      await io.write(JSON.stringify(result, undefined, 2) + '\n')
    } else {
      await io.write((repair?.repaired ?? []).map((problem) => `repaired  ${line(problem)}`).join(''))
      await io.write((repair?.left ?? found).map(line).join(''))
      io.note(
        left.length === 0
          ? 'the store is sound\n'
          : `${left.length} ${left.length === 1 ? 'problem' : 'problems'}\n`,
      )
    }
    return left.length === 0 ? 0 : 1
  },
}
