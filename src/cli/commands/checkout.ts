import { checkoutTree } from 'lamella/unionfs'
import { STORE, type Command } from '../command.js'
import { formatBytes, printable } from '../format.js'
import { openImageTree } from '../store.js'

export const command: Command = {
  name: 'checkout',
  summary: 'write the files of an image into a folder',
  synopsis: '[options] IMAGE DIR',
  description:
    'DIR has to be empty or absent; nothing is written outside it, whatever links the image holds. Modes and times are\n' +
    'kept, owners only as root. Device nodes, fifos and extended attributes are left out and listed.',
  options: [{ name: 'no-owners', help: 'do not give files their owners, also as root' }, STORE],
  operands: [2, 2],
  async run(args, io) {
    const [name, folder] = args.operands
    const { store, tree } = await openImageTree(args, io, name!)
    await using _ = store
    const owners = args.flag('no-owners') ? { owners: false } : {}
    const { paths, bytes, skipped } = await checkoutTree(tree, folder!, { signal: io.signal, ...owners })
    for (const { path, reason } of skipped) io.note(`skipped /${printable(path)}: ${reason}\n`)
    io.note(`${paths} paths, ${formatBytes(bytes)} in ${folder}\n`)
    return 0
  },
}
