import { formatPlatform, readImage, resolveImage } from 'lamella/oci'
import { STORE, type Command } from '../command.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'inspect',
  summary: 'print everything known of images, as JSON',
  synopsis: '[options] IMAGE…',
  options: [STORE],
  operands: [1, Number.POSITIVE_INFINITY],
  async run(args, io) {
    await using store = await openStore(args, io)
    const refs = await store.refs.list()
    const out: unknown[] = []
    for (const name of args.operands) {
      const target = await resolveImage(store, name)
      const { descriptor, manifest, config, layers } = await readImage(store.blobs, target)
      out.push({
        digest: descriptor.digest,
        names: refs.filter((ref) => ref.target.digest === target.digest).map((ref) => ref.name),
        mediaType: descriptor.mediaType,
        platform: formatPlatform(config),
        created: config.created,
        sizeBytes: layers.reduce((sum, layer) => sum + layer.descriptor.size, 0),
        layers: layers.map((layer) => ({ diffID: layer.diffID, ...layer.descriptor })),
        config,
        manifest,
      })
    }
    await io.write(JSON.stringify(out, undefined, 2) + '\n')
    return 0
  },
}
