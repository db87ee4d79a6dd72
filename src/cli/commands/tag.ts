import { refNameOf, resolveImage } from 'lamella/oci'
import { STORE, type Command } from '../command.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'tag',
  summary: 'give an image a further name, or an older state its name back',
  synopsis: '[options] IMAGE NAME',
  description:
    "IMAGE is a name, at least 6 digits of a named image's digest, or NAME@{N}: what NAME pointed at N changes ago.",
  options: [STORE],
  examples: ['lamella tag app:latest app:v2', "lamella tag 'app@{1}' app     # undo the last build"],
  operands: [2, 2],
  async run(args, io) {
    await using store = await openStore(args, io)
    const [source, name] = args.operands
    await store.refs.set(refNameOf(name!), await resolveImage(store, source!))
    return 0
  },
}
