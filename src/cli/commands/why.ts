import { whyPath, type PathEvent } from 'lamella/builder'
import { readImage, resolveImage } from 'lamella/oci'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatBytes, formatMode, parsePrintable, printable, shortDigest, table } from '../format.js'
import { openStore } from '../store.js'

function describe({ entry }: PathEvent): string {
  if (entry === undefined) return 'deleted'
  const { kind, mode, uid, gid, size, target } = entry
  const what = kind === 'symlink' ? `-> ${printable(target ?? '')}` : kind === 'file' ? formatBytes(size) : ''
  return `${formatMode(kind, mode)} ${uid}:${gid} ${what}`.trimEnd()
}

export const command: Command = {
  name: 'why',
  summary: 'show which instruction wrote a file, and which wrote it before',
  synopsis: '[options] IMAGE PATH',
  description: 'Newest first: A added, C changed, D deleted. Layers are counted from 1, base first.',
  options: [JSON_OUTPUT, STORE],
  examples: ['lamella why app /usr/src/app/package.json'],
  operands: [2, 2],
  async run(args, io) {
    await using store = await openStore(args, io)
    const [name, path] = args.operands
    const image = await readImage(store.blobs, await resolveImage(store, name!))
    const asTyped = await whyPath(store, image, path!)
    const { path: found, events } =
      asTyped.events.length > 0 ? asTyped : await whyPath(store, image, parsePrintable(path!))
    if (args.flag('json')) await io.write(JSON.stringify({ path: found, events }, undefined, 2) + '\n')
    else if (events.length > 0) {
      const rows = events.map((event) => [
        event.change,
        String(event.layer + 1),
        shortDigest(event.diffID),
        describe(event),
        printable(event.createdBy ?? ''),
      ])
      await io.write(table(['', '>#', 'LAYER', 'AFTERWARDS', 'INSTRUCTION'], rows))
    }
    if (events.length > 0) return 0
    io.note(`ERROR: no layer of ${name} ever had ${path}\n`)
    return 1
  },
}
