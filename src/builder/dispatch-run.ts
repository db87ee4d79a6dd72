// RUN onto a stage: the command, its environment and its mounts as one operation. Pure.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert{,_runmount,_secrets,_ssh}.go, client/llb/exec.go Marshal
import { NO_FOLDERS } from './op-factory.js'
import { BuildError, DockerfileError } from '../errors.js'
import { baseNameOf, compareNames, encodePath, normalizePath } from '../path.js'
import {
  commit,
  edgeOf,
  progressText,
  withShell,
  type DispatchContext,
  notePath,
} from './dispatch-context.js'
import {
  chompHeredoc,
  cleanPath,
  expandWord,
  isHeredocStart,
  parseMount,
  type RunInstruction,
  type RunMount,
} from './dockerfile/index.js'
import { DEFAULT_PLATFORM } from './platform.js'
import type { ExecMountSpec, ExecSpec, SecretSpec } from './key.js'
import { internalLabel, type Command, type StageArg, type StageState } from './state.js'
import type { Edge } from './vertex.js'

export function dispatchRun(
  state: StageState,
  command: Command,
  instruction: RunInstruction,
  context: DispatchContext,
): void {
  if (instruction.devices.length > 0)
    throw new DockerfileError('NOT_SUPPORTED', 'RUN --device is not supported', command.location)
  const script = scriptOf(state, instruction, command, context)
  const mounts = new MountList(state.edge)
  if (script.mount !== undefined) mounts.bind('/dev/pipes/', script.mount, '/', true)
  instruction.mounts.forEach((text, i) => addMount(mounts, text, i, state, command, context))

  const env = mounts.env(state.env).toArray()
  const spec: ExecSpec = {
    args: script.args,
    env,
    cwd: state.directory,
    user: state.user,
    extraHosts: context.extraHosts,
    mounts: mounts.specs(),
    network: instruction.network === 'default' ? context.network : instruction.network,
    security: instruction.security,
    secretEnv: mounts.secretEnv,
    platform: keyPlatform(state),
  }
  const { location } = command
  const shown = new Map(state.env.map)
  for (const { name } of mounts.secretEnv) shown.set(name, '****')
  const title = progressText(instruction.text + script.summary, shown, context.escape, true)
  const op = context.ops.run({ spec, commandLine: script.commandLine, proxyEnv: context.proxyEnv, location })
  state.edge = {
    vertex: { op, inputs: mounts.inputs, label: state.label(title, command), ignoreCache: state.ignoreCache },
    output: 0,
  }
  commit(state, `RUN ${argsText(state.args, state)}${script.args.join(' ')} # buildkit`, true, context)
}

function keyPlatform(state: StageState): ExecSpec['platform'] {
  const platform = state.platform ?? DEFAULT_PLATFORM
  return {
    os: platform.os,
    architecture: platform.architecture,
    variant: platform.variant,
    osVersion: platform['os.version'],
    osFeatures: platform['os.features'],
  }
}

/** `|2 A=1 B=2 `: the arguments that were declared, with the values that RUN sees. */
function argsText(args: readonly StageArg[], state: StageState): string {
  const values = new Map<string, string>()
  for (const { name, value } of args) values.set(name, state.env.get(name) ?? value ?? '')
  if (values.size === 0) return ''
  return `|${values.size} ${[...values].map(([name, value]) => `${name}=${value}`).join(' ')} `
}

interface Script {
  readonly args: readonly string[]
  readonly commandLine: string
  /** Appended to the instruction's text in progress: the first line of a here-document. */
  readonly summary: string
  /** The file of a here-document that begins with `#!`. */
  readonly mount: Edge | undefined
}

/** The command; here-documents become the script, a file to execute, or part of the shell's text. */
function scriptOf(
  state: StageState,
  instruction: RunInstruction,
  command: Command,
  context: DispatchContext,
): Script {
  const { command: line, heredocs } = instruction
  const plain = (args: readonly string[], text: string, summary = ''): Script => ({
    args,
    commandLine: text,
    summary,
    mount: undefined,
  })
  const [document] = heredocs
  if (document === undefined) {
    const text = line.args.join(' ')
    return line.form === 'exec' ? plain(line.args, text) : plain(withShell(state, line.args), text)
  }
  const text = line.args[0] ?? ''
  if (isHeredocStart(text) === undefined) {
    const whole = text + heredocs.map(({ name, content }) => `\n${content}${name}`).join('')
    return plain(withShell(state, [whole]), whole)
  }
  const content = document.chomp ? chompHeredoc(document.content) : document.content
  const summary = ` (${summarize(document.content)})`
  if (!content.startsWith('#!')) return plain(withShell(state, [content]), content, summary)
  const path = `/dev/pipes/${document.name}`
  return {
    args: withShell(state, [path]),
    commandLine: path,
    summary,
    mount: inlineFile(document.name, content, command, context),
  }
}

function summarize(content: string): string {
  const lines = content.trim().split(/\r?\n/)
  return `${lines[0]}${lines.length > 1 ? '...' : ''}`
}

function inlineFile(name: string, content: string, command: Command, context: DispatchContext): Edge {
  const title = '[internal] preparing inline document'
  const data = encodePath(content)
  const action = {
    kind: 'mkfile',
    path: `/${normalizePath(name)}`,
    mode: 0o755,
    data,
    timestampNs: -1n,
  } as const
  const placed = { action, input: -1, secondaryInput: -1, output: 0 }
  const { location } = command
  return edgeOf({
    op: context.ops.file({ actions: [placed], inputCount: 0, folders: NO_FOLDERS, title, location }),
    inputs: [],
    label: internalLabel(title, location),
    ignoreCache: false,
  })
}

function addMount(
  mounts: MountList,
  text: string,
  index: number,
  state: StageState,
  command: Command,
  context: DispatchContext,
): void {
  const { location } = command
  const expand = (word: string): string =>
    expandWord(word, state.env.map, { escape: context.escape, at: location }).value
  const mount = parseMount(text, expand, location)
  if (mount.type === 'secret') return mounts.secret(secretOf(mount, command), mount)
  if (mount.type === 'ssh') {
    if (mount.source !== undefined && mount.source !== '')
      throw new DockerfileError('FLAG_INVALID', 'ssh does not support source', location)
    return mounts.ssh(mount)
  }
  const target = targetOf(mount, state, command)
  if (mount.type === 'tmpfs') return mounts.tmpfs(target, mount.sizeBytes ?? 0)
  let source = sourceOf(mount, command.sources[index], command, context)
  let path = `/${normalizePath(mount.source ?? '')}`
  const owned = mount.uid !== undefined || mount.gid !== undefined || mount.mode !== undefined
  if (path === '/' && owned) {
    source = ownedDirectory(source, mount, command, context)
    path = '/cache'
  }
  if (mount.type === 'cache') {
    const id = mount.id ?? cleanPath(mount.target ?? '')
    mounts.cache(target, source, path, mount, `${context.cacheNamespace}/${id}`)
  } else {
    if (mount.from === undefined) context.contextPaths.add(path)
    if (source?.vertex.op.kind === 'local') notePath(context, source, path)
    mounts.bind(target, source, path, mount.readOnly)
  }
}

function targetOf(mount: RunMount, state: StageState, command: Command): string {
  const target = mount.target ?? ''
  const path = `/${normalizePath(target.startsWith('/') ? target : `${state.directory}/${target}`)}`
  // An absolute target enters the key as it is written, trailing slash and all.
  if (path !== '/') return target.startsWith('/') ? target : path
  throw new DockerfileError('FLAG_INVALID', 'invalid mount target "/"', command.location)
}

function sourceOf(
  mount: RunMount,
  from: StageState | undefined,
  command: Command,
  context: DispatchContext,
): Edge | undefined {
  if (mount.from === undefined) return mount.type === 'cache' ? undefined : context.buildContext()
  if (from === undefined || from.dispatched) return from?.edge
  throw new BuildError(
    'STAGE_NOT_DEFINED_YET',
    `cannot mount from stage ${JSON.stringify(mount.from)} to ${JSON.stringify(mount.target ?? '')}, stage needs to be defined before current command`,
    { location: command.location, data: { stage: mount.from } },
  )
}

/** A cache mount with an owner or mode starts from a directory that has them. */
function ownedDirectory(
  source: Edge | undefined,
  mount: RunMount,
  command: Command,
  context: DispatchContext,
): Edge {
  const inputs = source === undefined ? [] : [source]
  const title = '[internal] setting cache mount permissions'
  const owner = { user: { id: mount.uid ?? 0 }, group: { id: mount.gid ?? 0 } }
  const mode = (mount.mode ?? 0o755) & 0o777
  const action = { kind: 'mkdir', path: '/cache', mode, makeParents: false, owner, timestampNs: -1n } as const
  const placed = { action, input: inputs.length - 1, secondaryInput: -1, output: 0 }
  const { location } = command
  return edgeOf({
    op: context.ops.file({
      actions: [placed],
      inputCount: inputs.length,
      folders: NO_FOLDERS,
      title,
      location,
    }),
    inputs,
    label: internalLabel(title, location),
    ignoreCache: false,
  })
}

function secretOf(
  mount: RunMount,
  command: Command,
): { readonly id: string; readonly target: string | undefined } {
  const target = mount.target === '' ? undefined : mount.target
  const id = mount.source ?? mount.id ?? (target === undefined ? undefined : baseNameOf(target) || '/')
  if (id === undefined || id === '') {
    throw new DockerfileError('FLAG_INVALID', 'one of source, target required', command.location)
  }
  if (mount.env !== undefined) return { id, target }
  return { id, target: target ?? `/run/secrets/${baseNameOf(id)}` }
}

/** The mounts of one RUN: inputs each once, specs in BuildKit's order. */
class MountList {
  readonly inputs: Edge[] = []
  readonly secretEnv: { readonly id: string; readonly name: string; readonly optional: boolean }[] = []
  private readonly mounts: { readonly edge: Edge | undefined; readonly spec: ExecMountSpec }[] = []
  private readonly secrets: ExecMountSpec[] = []
  private readonly sockets: ExecMountSpec[] = []

  constructor(root: Edge | undefined) {
    this.add(root, { type: 'bind', dest: '/', output: 0, readonly: false })
  }

  bind(dest: string, edge: Edge | undefined, selector: string, readonly: boolean): void {
    this.add(edge, { type: 'bind', dest, output: -1, readonly, selector })
  }

  tmpfs(dest: string, tmpfsSize: number): void {
    this.add(undefined, { type: 'tmpfs', dest, output: -1, readonly: false, tmpfsSize })
  }

  cache(dest: string, edge: Edge | undefined, selector: string, mount: RunMount, id: string): void {
    const cache = { id, sharing: mount.sharing ?? 'shared' }
    this.add(edge, { type: 'cache', dest, output: -1, readonly: mount.readOnly, selector, cache })
  }

  secret(secret: { readonly id: string; readonly target: string | undefined }, mount: RunMount): void {
    const { id, target } = secret
    const optional = !mount.required
    if (mount.env !== undefined) this.secretEnv.push({ id, name: mount.env, optional })
    if (target === undefined) return
    this.secrets.push(socketOrSecret('secret', target, ownedSpec(id, mount, 0o400)))
  }

  ssh(mount: RunMount): void {
    const dest = mount.target ?? `/run/buildkit/ssh_agent.${this.sockets.length}`
    this.sockets.push(socketOrSecret('ssh', dest, ownedSpec(mount.id ?? '', mount, 0o600)))
  }

  /** The stage's variables, with the agent's socket when there is one. */
  env(env: StageState['env']): StageState['env'] {
    const [first] = this.sockets
    return first === undefined || env.get('SSH_AUTH_SOCK') !== undefined
      ? env
      : env.set('SSH_AUTH_SOCK', first.dest)
  }

  /** Inputs are numbered in the order of the targets, so this comes after all mounts are known. */
  specs(): ExecMountSpec[] {
    const sorted = this.mounts.toSorted((a, b) => compareNames(a.spec.dest, b.spec.dest))
    const specs = sorted.map(({ edge, spec }) => ({
      ...spec,
      input: edge === undefined ? -1 : this.input(edge),
    }))
    return [...specs, ...this.secrets, ...this.sockets]
  }

  private input(edge: Edge): number {
    const known = this.inputs.findIndex(
      (other) => other.vertex === edge.vertex && other.output === edge.output,
    )
    return known === -1 ? this.inputs.push(edge) - 1 : known
  }

  private add(edge: Edge | undefined, spec: Omit<ExecMountSpec, 'input'>): void {
    this.mounts.push({ edge, spec: { ...spec, input: -1 } })
  }
}

function ownedSpec(id: string, mount: RunMount, mode: number): SecretSpec {
  return {
    id,
    uid: mount.uid ?? 0,
    gid: mount.gid ?? 0,
    mode: mount.mode ?? mode,
    optional: !mount.required,
  }
}

function socketOrSecret(type: 'secret' | 'ssh', dest: string, spec: SecretSpec): ExecMountSpec {
  const mount = { type, dest, input: -1, output: 0, readonly: false }
  return type === 'secret' ? { ...mount, secret: spec } : { ...mount, ssh: spec }
}
