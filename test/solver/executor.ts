// An executor for tests of the cache: what a RUN does does not matter, as long as its effect follows from its text.
import type { Executor } from '../../src/builder/index.js'

/** Takes any RUN; `write PATH TEXT` writes, everything else leaves a trace of its command line. */
export const executor: Executor = {
  name: 'test',
  capabilities: {
    mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'],
    networks: ['default', 'none', 'host'],
    binaries: true,
  },
  async run({ view, argv }) {
    const line = argv.at(-1)!
    for (const [, path, text] of line.matchAll(/write (\S+) (\S+)/g)) view.fs.writeFileSync(path!, text!)
    view.fs.writeFileSync('/ran', line)
    return { exitCode: 0 }
  },
}
