import { findContainer, stopContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { EXECUTOR, forEach, runInBackground, STOP_TIME, stopTimeMs } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'restart',
  summary: 'end what runs in containers, and run it again',
  synopsis: '[options] CONTAINER…',
  description: 'As stop and start; one that does not run is started.',
  options: [STOP_TIME, EXECUTOR, STORE],
  operands: [1, Infinity],
  async run(args, io) {
    const timeoutMs = stopTimeMs(args)
    await using store = await openStore(args, io)
    return await forEach(args.operands, io, async (name) => {
      const { id } = await findContainer(store, name)
      await stopContainer(store, id, { timeoutMs })
      await runInBackground(store, await findContainer(store, id), args, io)
      await io.write(`${name}\n`)
    })
  },
}
