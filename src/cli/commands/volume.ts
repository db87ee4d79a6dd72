import {
  createVolume,
  inspectVolume,
  listVolumes,
  planPruneVolumes,
  pruneVolumes,
  removeVolume,
} from 'lamella/containers'
import type { Store } from 'lamella/store'
import { labelsOf } from '../build-options.js'
import { JSON_OUTPUT, nearest, STORE, UsageError, type Arguments, type Command, type Io } from '../command.js'
import { forEach } from '../container-options.js'
import { formatAge, formatBytes, table } from '../format.js'
import { openStore } from '../store.js'

type Verb = (names: readonly string[], store: Store, args: Arguments, io: Io) => Promise<number>

const VERBS: Readonly<Record<string, { readonly most: number; readonly run: Verb }>> = {
  create: {
    most: 1,
    async run([name], store, args, io) {
      const volume = await createVolume(store, { name, labels: labelsOf(args) })
      await io.write(`${volume.name}\n`)
      return 0
    },
  },
  ls: {
    most: 0,
    async run(_, store, args, io) {
      const volumes = await listVolumes(store)
      if (args.flag('json')) await io.write(JSON.stringify(volumes, undefined, 2) + '\n')
      else if (args.flag('quiet')) await io.write(volumes.map(({ name }) => `${name}\n`).join(''))
      else {
        const rows = volumes.map(({ name, createdMs, layers, anonymous }) => [
          name,
          formatBytes(layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0)),
          formatAge(new Date(createdMs).toISOString(), Date.now()),
          anonymous ? 'anonymous' : '',
        ])
        await io.write(table(['VOLUME', '>SIZE', 'CREATED', ''], rows))
      }
      return 0
    },
  },
  inspect: {
    most: Infinity,
    async run(names, store, _, io) {
      if (names.length === 0) throw new UsageError('missing NAME…')
      const volumes: unknown[] = []
      const exitCode = await forEach(names, io, async (name) => {
        volumes.push(await inspectVolume(store, name))
      })
      await io.write(JSON.stringify(volumes, undefined, 2) + '\n')
      return exitCode
    },
  },
  rm: {
    most: Infinity,
    async run(names, store, args, io) {
      if (names.length === 0) throw new UsageError('missing NAME…')
      return forEach(names, io, async (name) => {
        try {
          await removeVolume(store, name)
        } catch (error) {
          const isGone = (error as { code?: unknown }).code === 'VOLUME_NOT_FOUND'
          if (!isGone || !args.flag('force')) throw error
        }
        await io.write(`${name}\n`)
      })
    },
  },
  prune: {
    most: 0,
    async run(_, store, args, io) {
      const plan = await planPruneVolumes(store, { all: args.flag('all') })
      const removed = args.flag('dry-run') ? plan : await pruneVolumes(store, plan)
      await io.write(removed.map(({ name }) => `${name}\n`).join(''))
      return 0
    },
  },
}

export const command: Command = {
  name: 'volume',
  summary: 'make, list, show and remove volumes',
  synopsis: `${Object.keys(VERBS).join('|')} [options] [NAME…]`,
  description:
    'A volume outlives the containers that mount it. One that a container mounts, running or not, cannot be removed. prune\n' +
    'removes anonymous volumes that no container mounts, and with --all named ones too.',
  options: [
    { name: 'label', value: 'NAME=VALUE', multiple: true, help: 'create: set a label' },
    { name: 'quiet', short: 'q', help: 'ls: print names only' },
    { name: 'all', short: 'a', help: 'prune: named volumes too' },
    {
      name: 'force',
      short: 'f',
      help: 'rm: one that is not there is no error; prune asks nothing in any case',
    },
    { name: 'dry-run', help: 'prune: list what would go, and remove nothing' },
    JSON_OUTPUT,
    STORE,
  ],
  examples: ['lamella volume create data', 'lamella volume prune --all --dry-run'],
  operands: [1, Infinity],
  async run(args, io) {
    const [name, ...names] = args.operands
    const verb = Object.hasOwn(VERBS, name!) ? VERBS[name!] : undefined
    if (verb === undefined) {
      const near = nearest(name!, Object.keys(VERBS))
      const hint = near === undefined ? '' : ` (did you mean ${near}?)`
      throw new UsageError(`volume ${name}: expected one of ${Object.keys(VERBS).join(', ')}${hint}`)
    }
    if (names.length > verb.most)
      throw new UsageError(`unexpected argument ${JSON.stringify(names[verb.most])}`)
    await using store = await openStore(args, io, { create: name === 'create' })
    return await verb.run(names, store, args, io)
  },
}
