import { listContainers, type ContainerInfo } from 'lamella/containers'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatAge, printable, table } from '../format.js'
import { openStore } from '../store.js'

const COMMAND_WIDTH = 24

function commandOf({ settings }: ContainerInfo): string {
  const text = printable([...settings.entrypoint, ...settings.cmd].join(' '))
  return text.length > COMMAND_WIDTH ? `${text.slice(0, COMMAND_WIDTH - 1)}…` : text
}

function age(timeMs: number | undefined): string {
  return formatAge(timeMs === undefined ? undefined : new Date(timeMs).toISOString(), Date.now())
}

function statusOf(info: ContainerInfo): string {
  switch (info.status) {
    case 'created':
      return 'Created'
    case 'running':
      return `Up ${age(info.startedMs).replace(/ ago$/, '')}`
    case 'exited':
      return `Exited (${info.exitCode}) ${age(info.finishedMs)}`
    case 'dead':
      return 'Dead'
  }
}

export const command: Command = {
  name: 'ps',
  summary: 'list containers',
  synopsis: '[options]',
  options: [
    { name: 'all', short: 'a', help: 'also those that do not run' },
    { name: 'quiet', short: 'q', help: 'print ids only' },
    JSON_OUTPUT,
    STORE,
  ],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const all = await listContainers(store)
    const shown = args.flag('all') ? all : all.filter(({ status }) => status === 'running')
    if (args.flag('json')) {
      await io.write(JSON.stringify(shown, undefined, 2) + '\n')
      return 0
    }
    if (args.flag('quiet')) {
      await io.write(shown.map(({ id }) => `${id.slice(0, 12)}\n`).join(''))
      return 0
    }
    const rows = shown.map((info) => [
      info.id.slice(0, 12),
      printable(info.image.name),
      JSON.stringify(commandOf(info)),
      age(info.createdMs),
      statusOf(info),
      info.name,
    ])
    await io.write(table(['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'NAME'], rows))
    return 0
  },
}
