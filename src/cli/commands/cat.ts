import { encodePath } from 'lamella'
import { UnionView } from 'lamella/unionfs'
import { STORE, type Command } from '../command.js'
import { openImageTree, resolvePrinted } from '../store.js'

const CHUNK_BYTES = 4 << 20

/** As bytes: a name that is not UTF-8 has no string that node:fs would take. */
function toHostPath(path: string): Buffer {
  return Buffer.concat([Buffer.from('/'), encodePath(path)])
}

export const command: Command = {
  name: 'cat',
  summary: 'print a file of an image',
  synopsis: '[options] IMAGE PATH',
  description: 'Symbolic links are followed inside the image. The bytes go to stdout as they are.',
  options: [STORE],
  operands: [2, 2],
  async run(args, io) {
    const [name, path] = args.operands
    const { store, tree } = await openImageTree(args, io, name!)
    await using _ = store
    const { fs } = new UnionView(tree)
    const found = resolvePrinted(tree, path!)
    // An open of what is not there gives the system's own words.
    const fd = fs.openSync(
      found === undefined ? `/${path!.replace(/^\/+/, '')}` : toHostPath(found.path),
      'r',
    )
    const { size } = fs.fstatSync(fd)
    if (fs.fstatSync(fd).isDirectory()) fs.readSync(fd, new Uint8Array(1))
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, size - at))
      fs.readSync(fd, chunk, 0, chunk.byteLength, at)
      await io.write(chunk)
    }
    fs.closeSync(fd)
    return 0
  },
}
