import { refNameOf, resolveImage } from 'lamella/oci'
import type { Descriptor } from 'lamella'
import type { Store } from 'lamella/store'
import { STORE, type Command } from '../command.js'
import { openStore } from '../store.js'

const AT_VERSION = /^(.+)@\{(\d+)\}$/

/** `NAME@{1}` is what the ref pointed at one change ago, as in git; anything else is an image's name or digest. */
async function resolveVersion(store: Store, text: string): Promise<Descriptor> {
  const match = AT_VERSION.exec(text)
  if (match === null) return resolveImage(store, text)
  const name = refNameOf(match[1]!)
  const back = Number(match[2])
  if (back === 0) return resolveImage(store, name)
  const changes = await store.refs.history(name)
  const target = changes[back - 1]?.before
  if (target !== undefined) return target
  throw new Error(
    `${name} has no version @{${back}}; it has changed ${changes.length} times ('lamella reflog ${name}')`,
  )
}

export const command: Command = {
  name: 'tag',
  summary: 'give an image a further name, or an older state its name back',
  synopsis: '[options] IMAGE NAME',
  description: 'IMAGE is a name, a digest or its beginning, or NAME@{N}: what NAME pointed at N changes ago.',
  options: [STORE],
  examples: ['lamella tag app:latest app:v2', "lamella tag 'app@{1}' app     # undo the last build"],
  operands: [2, 2],
  async run(args, io) {
    await using store = await openStore(args, io)
    const [source, name] = args.operands
    await store.refs.set(refNameOf(name!), await resolveVersion(store, source!))
    return 0
  },
}
