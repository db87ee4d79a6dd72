import { findContainer, planPruneContainers, removeContainer, stopContainer } from 'lamella/containers'
import { STORE, UsageError, type Command } from '../command.js'
import { forEach } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'rm',
  summary: 'remove containers',
  synopsis: '[options] [CONTAINER…]',
  description: "Their images, named volumes and host folders stay. What they took goes with 'lamella gc'.",
  options: [
    { name: 'force', short: 'f', help: 'end what runs in them first' },
    { name: 'volumes', short: 'v', help: 'also remove their anonymous volumes' },
    { name: 'stopped', help: 'all that do not run' },
    STORE,
  ],
  operands: [0, Infinity],
  async run(args, io) {
    if (args.operands.length === 0 && !args.flag('stopped')) throw new UsageError('missing CONTAINER…')
    await using store = await openStore(args, io)
    const stopped = args.flag('stopped') ? await planPruneContainers(store) : []
    return await forEach([...args.operands, ...stopped.map(({ id }) => id)], io, async (name) => {
      const { id, status, removeOnExit } = await findContainer(store, name)
      const isRunning = status === 'running' && args.flag('force')
      if (isRunning) await stopContainer(store, id)
      // One that was run with --rm may be gone by now.
      const isThere = !(isRunning && removeOnExit) || (await findContainer(store, id).catch(() => undefined))
      if (isThere) await removeContainer(store, id, { volumes: args.flag('volumes') })
      await io.write(`${name}\n`)
    })
  },
}
