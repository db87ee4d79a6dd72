import { createContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import {
  CREATE_OPTIONS,
  createOptions,
  EXECUTOR,
  EXIT_NOT_RUN,
  INTERACTIVE,
  runInBackground,
  runInForeground,
} from '../container-options.js'
import { formatError } from '../errors.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'run',
  summary: 'run a command in a new container',
  synopsis: '[options] IMAGE [COMMAND…]',
  description:
    'Options end at IMAGE. The exit code is that of the command, or 125 when it could not be run. The container keeps its\n' +
    'files when its command ends, unless --rm is given; what it prints is kept for lamella logs.',
  options: [
    ...CREATE_OPTIONS,
    { name: 'detach', short: 'd', help: 'leave it running, and print its id' },
    INTERACTIVE,
    EXECUTOR,
    STORE,
  ],
  examples: [
    'lamella run --rm app sh -c "echo hello"',
    'lamella run --name db -v data:/var/lib/db -v "$PWD":/src:ro app',
  ],
  operands: [1, Infinity],
  optionsEndAtOperand: 1,
  async run(args, io) {
    const options = createOptions(args, io)
    try {
      await using store = await openStore(args, io)
      const info = await createContainer(store, args.operands[0]!, options)
      if (!args.flag('detach')) return await runInForeground(store, info, args, io)
      await runInBackground(store, info, args, io)
      await io.write(`${info.id}\n`)
      return 0
    } catch (error) {
      io.note(formatError(error))
      return EXIT_NOT_RUN
    }
  },
}
