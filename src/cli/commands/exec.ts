import { execInContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import {
  ENV,
  ENV_FILE,
  environment,
  EXECUTOR,
  EXIT_NOT_RUN,
  INTERACTIVE,
  outOfMemory,
  runOptions,
  TTY,
  USER,
  WORKDIR,
} from '../container-options.js'
import { formatError } from '../errors.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'exec',
  summary: 'run a further command in a container',
  synopsis: '[options] CONTAINER COMMAND [ARGUMENT…]',
  description:
    "Options end at CONTAINER. The container need not run; one that runs in another process is busy, since no daemon holds\nits files for both. The exit code is the command's, or 125 when it could not be run.",
  options: [ENV, ENV_FILE, WORKDIR, USER, INTERACTIVE, TTY, EXECUTOR, STORE],
  examples: ['lamella exec db cat /etc/os-release'],
  operands: [2, Infinity],
  optionsEndAtOperand: 1,
  async run(args, io) {
    await using store = await openStore(args, io)
    const [name, ...argv] = args.operands
    const { options, done } = await runOptions(args, store, io)
    try {
      const { exitCode, oomKilled, info } = await execInContainer(store, name!, argv, {
        ...options,
        env: environment(args, io),
        cwd: args.string('workdir'),
        user: args.string('user'),
      })
      await done()
      if (oomKilled) io.note(outOfMemory(info))
      return exitCode
    } catch (error) {
      await done()
      io.note(formatError(error))
      return EXIT_NOT_RUN
    }
  },
}
