import { listContainers, type ContainerInfo } from 'lamella/containers'
import { JSON_OUTPUT, STORE, UsageError, type Arguments, type Command } from '../command.js'
import { formatAge, printable, table } from '../format.js'
import { openStore } from '../store.js'

const COMMAND_WIDTH = 24

function commandOf({ settings }: ContainerInfo, whole: boolean): string {
  const text = printable([...settings.entrypoint, ...settings.cmd].join(' '))
  return !whole && text.length > COMMAND_WIDTH ? `${text.slice(0, COMMAND_WIDTH - 1)}…` : text
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

/** As docker: values of one key are alternatives, save for labels, and keys add up. */
const FILTERS: Readonly<Record<string, (info: ContainerInfo, value: string) => boolean>> = {
  id: ({ id }, value) => id.startsWith(value),
  name: ({ name }, value) => name.includes(value),
  status: ({ status }, value) => status === value,
  exited: ({ status, exitCode }, value) => status === 'exited' && String(exitCode) === value,
  label: ({ settings: { labels } }, value) => {
    const [name, ...text] = value.split('=') as [string, ...string[]]
    return Object.hasOwn(labels, name) && (text.length === 0 || labels[name] === text.join('='))
  },
  ancestor: ({ image }, value) =>
    image.name === value ||
    image.name.split(':')[0] === value ||
    (value.length >= 7 &&
      image.descriptor.digest.replace('sha256:', '').startsWith(value.replace('sha256:', ''))),
  volume: ({ mounts }, value) =>
    mounts.some((mount) => mount.target === value || (mount.type === 'volume' && mount.volume === value)),
}

function choose(all: readonly ContainerInfo[], args: Arguments): readonly ContainerInfo[] {
  const filters = new Map<string, string[]>()
  for (const text of args.strings('filter')) {
    const at = text.indexOf('=')
    const key = at === -1 ? text : text.slice(0, at)
    if (at === -1 || !Object.hasOwn(FILTERS, key)) {
      throw new UsageError(
        `--filter ${text}: expected KEY=VALUE, KEY one of ${Object.keys(FILTERS).join(', ')}`,
      )
    }
    filters.set(key, [...(filters.get(key) ?? []), text.slice(at + 1)])
  }
  const last = args.flag('latest') ? '1' : args.string('last')
  if (last !== undefined && !/^\d{1,6}$/.test(last)) throw new UsageError(`--last ${last}: expected a number`)
  const anyState = args.flag('all') || last !== undefined || filters.has('status') || filters.has('exited')
  const fitting = all.filter(
    (info) =>
      (anyState || info.status === 'running') &&
      [...filters].every(([key, values]) =>
        key === 'label'
          ? values.every((value) => FILTERS[key]!(info, value))
          : values.some((value) => FILTERS[key]!(info, value)),
      ),
  )
  return last === undefined ? fitting : fitting.slice(0, Number(last))
}

export const command: Command = {
  name: 'ps',
  summary: 'list containers',
  synopsis: '[options]',
  options: [
    { name: 'all', short: 'a', help: 'also those that do not run' },
    { name: 'quiet', short: 'q', help: 'print ids only' },
    {
      name: 'filter',
      short: 'f',
      value: 'KEY=VALUE',
      multiple: true,
      help: `only those that fit: ${Object.keys(FILTERS).join(', ')}`,
    },
    { name: 'last', short: 'n', value: 'COUNT', help: 'the last so many, whether or not they run' },
    { name: 'latest', short: 'l', help: 'the last one, whether or not it runs' },
    { name: 'no-trunc', help: 'cut nothing off' },
    JSON_OUTPUT,
    STORE,
  ],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const all = await listContainers(store)
    const shown = choose(all, args)
    const whole = args.flag('no-trunc')
    const shortId = (id: string): string => (whole ? id : id.slice(0, 12))
    if (args.flag('json')) {
      await io.write(JSON.stringify(shown, undefined, 2) + '\n')
      return 0
    }
    if (args.flag('quiet')) {
      await io.write(shown.map(({ id }) => `${shortId(id)}\n`).join(''))
      return 0
    }
    const rows = shown.map((info) => [
      shortId(info.id),
      printable(info.image.name),
      JSON.stringify(commandOf(info, whole)),
      age(info.createdMs),
      statusOf(info),
      info.name,
    ])
    await io.write(table(['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'NAME'], rows))
    return 0
  },
}
