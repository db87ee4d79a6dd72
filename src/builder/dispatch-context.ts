// What the dispatch of every instruction shares: the plan's settings, history, progress texts. Pure.
import { BuildError, DockerfileError } from '../errors.js'
import { expandWord, uppercaseKeyword, type Escape } from './dockerfile/index.js'
import type { EnvList } from './env-list.js'
import { addHistory, timeOfEpoch } from './image-draft.js'
import type { OpFactory } from './op-factory.js'
import type { Command, StageState } from './state.js'
import type { Edge, Vertex } from './vertex.js'

/** What all stages of one plan share. */
export interface DispatchContext {
  readonly escape: Escape
  readonly ops: OpFactory
  readonly globalArgs: EnvList
  readonly buildArgs: ReadonlyMap<string, string>
  readonly proxyEnv: readonly (readonly [name: string, value: string])[]
  /** Of SOURCE_DATE_EPOCH, in seconds. */
  readonly epoch: number | undefined
  readonly copiesKeepTimes: boolean
  /** The build context as an input; made when it is first used. */
  readonly buildContext: () => Edge
  /** Paths of the context that some step reads. */
  readonly contextPaths: Set<string>
  /** The same for every folder of the host, by its vertex. */
  readonly folderPaths: Map<Vertex, Set<string>>
  readonly network: 'default' | 'none' | 'host'
  readonly extraHosts: readonly string[]
  readonly cacheNamespace: string
}

/** A step reads a path, or what a pattern matches, of a folder. */
export function notePath({ folderPaths }: DispatchContext, { vertex }: Edge, path: string): void {
  const paths = folderPaths.get(vertex)
  if (paths === undefined) folderPaths.set(vertex, new Set([path]))
  else paths.add(path)
}

/** Value of a timestamp field of a file action. */
export function timestampOf(context: DispatchContext): bigint {
  return context.epoch === undefined ? -1n : BigInt(context.epoch) * 1_000_000_000n
}

export function commit(state: StageState, text: string, layer: boolean, context: DispatchContext): void {
  addHistory(state.image, text, layer, context.epoch === undefined ? undefined : timeOfEpoch(context.epoch))
}

/** The instruction as progress shows it, variables filled in; as written where that fails. */
export function progressText(
  text: string,
  env: ReadonlyMap<string, string>,
  escape: Escape,
  raw = false,
): string {
  try {
    return uppercaseKeyword(
      expandWord(text, env, raw ? { escape, keepQuotes: true, keepUnset: true } : { escape }).value,
    )
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    return uppercaseKeyword(text)
  }
}

/** The words under SHELL as one argument of it. */
export function withShell(state: StageState, args: readonly string[]): string[] {
  const { Shell } = state.image.config
  return [...(Shell !== undefined && Shell.length > 0 ? Shell : ['/bin/sh', '-c']), args.join(' ')]
}

/** The only output of a vertex. */
export function edgeOf(vertex: Vertex): Edge {
  return { vertex, output: 0 }
}

/** The stages of a command exist and were planned before; BuildKit's words. */
export function requireDispatched(
  source: StageState,
  name: string,
  here: StageState,
  command: Command,
): void {
  if (source.dispatched) return
  throw new BuildError(
    'STAGE_NOT_DEFINED_YET',
    `cannot copy from stage ${JSON.stringify(name)}, it needs to be defined before current stage ${JSON.stringify(here.displayName)}`,
    { location: command.location, data: { stage: name } },
  )
}
