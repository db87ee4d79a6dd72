import { copyInArchive, copyInto, copyOut, copyOutArchive } from 'lamella/containers'
import { STORE, UsageError, type Command } from '../command.js'
import { openStore } from '../store.js'

/** `CONTAINER:PATH`; what begins with `/` or `.` is a path of the host, whatever it has in it. */
function containerPath(text: string): { readonly container: string; readonly path: string } | undefined {
  const at = text.indexOf(':')
  if (at <= 0 || text.startsWith('/') || text.startsWith('.')) return undefined
  return { container: text.slice(0, at), path: text.slice(at + 1) }
}

export const command: Command = {
  name: 'cp',
  summary: 'copy files between the host and a container',
  synopsis: '[options] SOURCE TARGET',
  description:
    'One of both is CONTAINER:PATH; the other may be -, for a tar on standard input or output. A folder goes into a directory that is there; FOLDER/. stands for what is in it. What comes\n' +
    'into a container is root’s, what goes out is yours. The container need not run.',
  options: [
    { name: 'archive', short: 'a', help: 'keep owners' },
    { name: 'follow-link', short: 'L', help: 'copy what a SOURCE that is a link points at' },
    STORE,
  ],
  examples: [
    'lamella cp app.conf web:/etc/app/',
    'lamella cp web:/var/log/. logs',
    'lamella cp web:/etc - | tar t',
  ],
  operands: [2, 2],
  async run(args, io) {
    const [source, target] = args.operands as [string, string]
    const [from, to] = [containerPath(source), containerPath(target)]
    const options = { archive: args.flag('archive'), followLinks: args.flag('follow-link') }
    if ((from === undefined) === (to === undefined)) {
      throw new UsageError(
        from === undefined ? 'neither is CONTAINER:PATH' : 'copying between containers is not supported',
      )
    }
    await using store = await openStore(args, io)
    if (from !== undefined && target === '-') {
      for (const chunk of await copyOutArchive(store, from.container, from.path, options))
        await io.write(chunk)
    } else if (to !== undefined && source === '-') {
      await copyInArchive(store, io.stdin(), to.container, to.path)
    } else if (from !== undefined) await copyOut(store, from.container, from.path, target, options)
    else await copyInto(store, source, to!.container, to!.path, options)
    return 0
  },
}
