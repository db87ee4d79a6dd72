// One instruction after the other onto a stage: environment, config and history here, file systems in dispatch-copy.ts and
// dispatch-run.ts. Pure.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go dispatch*
import { NO_FOLDERS } from './op-factory.js'
import { DockerfileError, type SourceLocation } from '../errors.js'
import { normalizePath } from '../path.js'
import {
  commit,
  edgeOf,
  progressText,
  timestampOf,
  withShell,
  type DispatchContext,
} from './dispatch-context.js'
import { dispatchCopy } from './dispatch-copy.js'
import { dispatchRun } from './dispatch-run.js'
import {
  expandInstruction,
  expandWord,
  formatDuration,
  parsePorts,
  parseSignal,
  type Instruction,
} from './dockerfile/index.js'
import { goList, goQuote, goQuoteList, goQuoteRune } from './go-format.js'
import { setConfigEnv } from './image-draft.js'
import { parseOwner } from './ops/owner.js'
import type { Command, StageState } from './state.js'

/** Arguments that never become variables. */
const NON_ENV_ARGS = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE'])

/** @throws DockerfileError, BuildError with the instruction's place */
export function dispatch(state: StageState, command: Command, context: DispatchContext): void {
  const { instruction, location } = command
  // Defaults of ARG expand only where they are used.
  if (instruction.kind === 'arg') return apply(state, command, context)
  const expanded = expandInstruction(instruction, state.env.map, { escape: context.escape, at: location })
  apply(state, { ...command, instruction: expanded.instruction }, context)
}

function apply(state: StageState, command: Command, context: DispatchContext): void {
  const { instruction } = command
  switch (instruction.kind) {
    case 'arg':
      return dispatchArg(state, instruction, command.location, context)
    case 'add':
    case 'copy':
      return dispatchCopy(state, command, instruction, context)
    case 'run':
      return dispatchRun(state, command, instruction, context)
    case 'workdir':
      setDirectory(state, instruction.path)
      return dispatchWorkdir(state, command, context)
    case 'env': {
      for (const { key, value } of instruction.pairs) {
        state.env = state.env.set(key, value)
        setConfigEnv(state.image, key, value)
      }
      return commit(state, `ENV${pairsText(instruction.pairs)}`, false, context)
    }
    default:
      return dispatchConfig(state, command, instruction, context)
  }
}

type ConfigInstruction = Exclude<
  Instruction,
  { readonly kind: 'add' | 'copy' | 'run' | 'workdir' | 'env' | 'arg' }
>

function dispatchConfig(
  state: StageState,
  command: Command,
  instruction: ConfigInstruction,
  context: DispatchContext,
): void {
  const { config } = state.image
  const add = (text: string): void => commit(state, text, false, context)
  switch (instruction.kind) {
    case 'label':
      config.Labels = {
        ...config.Labels,
        ...Object.fromEntries(instruction.pairs.map((p) => [p.key, p.value])),
      }
      return add(`LABEL${pairsText(instruction.pairs)}`)
    case 'maintainer':
      state.image.author = instruction.maintainer
      return add(`MAINTAINER ${instruction.maintainer}`)
    case 'onbuild':
      config.OnBuild = [...(config.OnBuild ?? []), instruction.expression]
      return
    case 'cmd':
      config.Cmd = commandArgs(state, instruction.command)
      config.ArgsEscaped = true
      state.hasCmd = true
      return add(`CMD ${goQuoteList(config.Cmd)}`)
    case 'entrypoint':
      config.Entrypoint = commandArgs(state, instruction.command)
      if (!state.hasCmd) delete config.Cmd
      return add(`ENTRYPOINT ${goQuoteList(config.Entrypoint)}`)
    case 'shell':
      config.Shell = instruction.shell
      return add(`SHELL ${goList(instruction.shell)}`)
    case 'user':
      setUser(state, instruction.user)
      return add(`USER ${instruction.user}`)
    case 'volume':
      if (instruction.volumes.includes('')) {
        throw new DockerfileError(
          'ARGUMENT_INVALID',
          'VOLUME specified can not be an empty string',
          command.location,
        )
      }
      config.Volumes = {
        ...config.Volumes,
        ...Object.fromEntries(instruction.volumes.map((path) => [path, {}])),
      }
      return add(`VOLUME ${goList(instruction.volumes)}`)
    case 'stopsignal':
      parseSignal(instruction.signal, command.location)
      config.StopSignal = instruction.signal
      return add(`STOPSIGNAL ${instruction.signal}`)
    case 'expose': {
      const ports = parsePorts(instruction.ports, command.location)
      config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) }
      return add(`EXPOSE ${goList(ports)}`)
    }
    case 'healthcheck':
      return dispatchHealthcheck(state, instruction, context)
  }
}

function pairsText(pairs: readonly { readonly key: string; readonly value: string }[]): string {
  return pairs.map(({ key, value }) => ` ${key}=${value}`).join('')
}

function dispatchHealthcheck(
  state: StageState,
  check: Extract<Instruction, { readonly kind: 'healthcheck' }>,
  context: DispatchContext,
): void {
  state.image.config.Healthcheck = {
    Test: check.test,
    ...(check.intervalNs === 0 ? undefined : { Interval: check.intervalNs }),
    ...(check.timeoutNs === 0 ? undefined : { Timeout: check.timeoutNs }),
    ...(check.startPeriodNs === 0 ? undefined : { StartPeriod: check.startPeriodNs }),
    ...(check.startIntervalNs === 0 ? undefined : { StartInterval: check.startIntervalNs }),
    ...(check.retries === 0 ? undefined : { Retries: check.retries }),
  }
  // BuildKit prints the whole struct with %q: durations as texts, the number of retries as a character.
  const durations = [check.intervalNs, check.timeoutNs, check.startPeriodNs, check.startIntervalNs]
  const fields = [
    goQuoteList(check.test),
    ...durations.map((ns) => goQuote(formatDuration(ns))),
    goQuoteRune(check.retries),
  ]
  commit(state, `HEALTHCHECK &{${fields.join(' ')}}`, false, context)
}

/** ARG: the build-arg, else the own default, else the global value; then it is a variable like any other. */
function dispatchArg(
  state: StageState,
  instruction: Extract<Instruction, { readonly kind: 'arg' }>,
  location: SourceLocation,
  context: DispatchContext,
): void {
  const texts: string[] = []
  for (const declared of instruction.args) {
    const { name } = declared
    const given = context.buildArgs.get(name)
    const own = (): string | undefined =>
      declared.value === undefined
        ? context.globalArgs.get(name)
        : expandWord(declared.value, state.env.map, { escape: context.escape, at: location }).value
    const value = given ?? own()
    if (value !== undefined && !NON_ENV_ARGS.has(name)) state.env = state.env.set(name, value)
    state.args = [...state.args, { name, value }]
    texts.push(value === undefined ? name : `${name}=${value}`)
  }
  commit(state, `ARG ${texts.join(' ')}`, false, context)
}

/** Shell form becomes one argument of SHELL; exec form stays. */
export function commandArgs(
  state: StageState,
  command: { readonly form: 'exec' | 'shell'; readonly args: readonly string[] },
): string[] {
  return command.form === 'exec' ? [...command.args] : withShell(state, command.args)
}

export function setUser(state: StageState, user: string): void {
  state.user = user
  state.image.config.User = user
}

/** Relative directories chain and are cleaned; an absolute one stays as written. @see util/system/path.go NormalizeWorkdir */
export function setDirectory(state: StageState, path: string): void {
  const { WorkingDir = '' } = state.image.config
  const base = WorkingDir.startsWith('/') ? WorkingDir : `/${normalizePath(WorkingDir)}`
  const relative = (): string => (path === '' ? base : `/${normalizePath(`${base}/${path}`)}`)
  const directory = path.startsWith('/') ? path : relative()
  state.image.config.WorkingDir = directory
  state.directory = directory
}

function dispatchWorkdir(state: StageState, command: Command, context: DispatchContext): void {
  const { directory } = state
  if (directory !== '/') {
    const inputs = state.edge === undefined ? [] : [state.edge]
    const { User } = state.image.config
    const action = {
      kind: 'mkdir',
      path: `/${normalizePath(directory)}`,
      mode: 0o755,
      makeParents: true,
      owner: User === undefined || User === '' ? undefined : parseOwner(User, inputs.length - 1),
      timestampNs: timestampOf(context),
    } as const
    const title = progressText(command.instruction.text, state.env.map, context.escape)
    state.edge = edgeOf({
      op: context.ops.file({
        actions: [{ action, input: inputs.length - 1, secondaryInput: -1, output: 0 }],
        inputCount: inputs.length,
        folders: NO_FOLDERS,
        title,
        location: command.location,
      }),
      inputs,
      label: state.label(title, command),
      ignoreCache: false,
    })
  }
  commit(state, `WORKDIR ${directory}`, directory !== '/', context)
}
