import { commitContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'commit',
  summary: 'make an image of a container',
  synopsis: '[options] CONTAINER [NAME]',
  description:
    "The container's image with what it changed as a further layer; mounts are no part of it. Prints the image's digest. Of a\n" +
    'container that runs elsewhere: as it was before that run.',
  options: [
    { name: 'message', short: 'm', value: 'TEXT', help: "for the image's history" },
    {
      name: 'change',
      short: 'c',
      value: 'INSTRUCTION',
      multiple: true,
      help: "lay over the config: 'CMD [\"a\"]', 'ENV A=1', …",
    },
    { name: 'author', short: 'a', value: 'NAME', help: 'who made it' },
    STORE,
  ],
  operands: [1, 2],
  async run(args, io) {
    await using store = await openStore(args, io)
    const [container, name] = args.operands
    const { descriptor } = await commitContainer(store, container!, {
      tags: name === undefined ? [] : [name],
      message: args.string('message'),
      author: args.string('author'),
      changes: args.strings('change'),
    })
    await io.write(`${descriptor.digest}\n`)
    return 0
  },
}
