// The `replay` executor: the effect of a RUN taken from an image that was built with it before. Nothing is executed, so
// that a real image's Dockerfile can be studied, or a build repeated, without its programs, its network or its time.
import { BuildError, throwIfAborted } from '../../errors.js'
import { readImage, resolveImage, type Image } from '../../oci/index.js'
import type { Store } from '../../store/index.js'
import type { LayerRef } from '../../unionfs/index.js'
import type { ExecRequest, ExecResult, Executor } from '../executor.js'

export interface ReplayOptions {
  /** Holds the images. */
  readonly store: Store
  /** Images whose history is looked through, in this order: names or digests, or images already read. */
  readonly images: readonly (string | Image)[]
}

/** One RUN of an image. */
interface RecordedRun {
  /** The command, with the build arguments before it. */
  readonly text: string
  /** The layers below the step, base first. */
  readonly below: readonly LayerRef[]
  readonly layer: LayerRef
}

/**
 * The command of a history entry, as an argument vector joined by blanks; `undefined` for what is no RUN. Build arguments
 * that stand before it (`|2 A=1 B=2 `) are taken off.
 * @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go; moby/moby builder/dockerfile/dispatchers.go
 */
export function commandOfHistory(createdBy: string): string | undefined {
  const text = recordedText(createdBy)
  const count = /^\|(\d+) /.exec(text ?? '')
  if (text === undefined || count === null) return text
  // Values may have blanks: a shell with -c tells where the command begins.
  const shell = / (\/\S+ (?:[-\w]+ )*?-\w*c [\s\S]*)$/.exec(text)
  if (shell !== null) return shell[1]
  const words = text.slice(count[0].length).split(' ')
  return words.slice(Number(count[1])).join(' ')
}

/** A history entry without the builders' marks, build arguments included. */
function recordedText(createdBy: string): string | undefined {
  if (/^\/bin\/sh -c #\(nop\)|^(?:COPY|ADD|WORKDIR|FROM) /.test(createdBy)) return undefined
  const text = createdBy.replace(/^RUN /, '').replace(/ # buildkit$/, '')
  return text === '' ? undefined : text
}

function runsOf({ config, layers }: Image): RecordedRun[] {
  const runs: RecordedRun[] = []
  let index = 0
  for (const { created_by: createdBy, empty_layer: isEmpty } of config.history ?? []) {
    if (isEmpty === true) continue
    const layer = layers[index]
    const text = recordedText(createdBy ?? '')
    if (layer !== undefined && text !== undefined) runs.push({ text, below: layers.slice(0, index), layer })
    index++
  }
  return runs
}

/** A history entry ends with the command; what stands before it are build arguments. */
function isCommand(recorded: string, wanted: string): boolean {
  return recorded === wanted || (recorded.startsWith('|') && recorded.endsWith(` ${wanted}`))
}

const sameStack = (a: readonly LayerRef[], b: readonly LayerRef[]): boolean =>
  a.length === b.length && a.every((layer, index) => layer.diffID === b[index]!.diffID)

class Recordings {
  readonly #options: ReplayOptions
  /** How many runs of a command were replayed, for commands that stand more than once in an image. */
  readonly #replayed = new Map<string, number>()
  #runs: Promise<readonly RecordedRun[]> | undefined

  constructor(options: ReplayOptions) {
    this.#options = options
  }

  #all(): Promise<readonly RecordedRun[]> {
    return (this.#runs ??= this.#read())
  }

  async #read(): Promise<readonly RecordedRun[]> {
    const { store, images } = this.#options
    const runs: RecordedRun[] = []
    for (const image of images) {
      runs.push(
        ...runsOf(
          typeof image === 'string' ? await readImage(store.blobs, await resolveImage(store, image)) : image,
        ),
      )
    }
    return runs
  }

  /** The run on the same layers, if there is one; else the next of that command in the order of the histories. */
  async find(request: ExecRequest): Promise<RecordedRun> {
    const runs = await this.#all()
    const wanted = request.argv.join(' ')
    const matches = runs.filter(({ text }) => isCommand(text, wanted))
    const { layers } = request
    const exact = layers === undefined ? undefined : matches.find(({ below }) => sameStack(below, layers))
    if (exact !== undefined) return exact
    const count = this.#replayed.get(wanted) ?? 0
    this.#replayed.set(wanted, count + 1)
    const next = matches[count % Math.max(1, matches.length)]
    if (next !== undefined) return next
    const commands = runs.map(({ text }) => commandOfHistory(text) ?? text)
    const has =
      commands.length === 0
        ? 'the history has no RUN'
        : `the history has ${commands.map((each) => `"${each}"`).join(', ')}`
    throw new BuildError('EXECUTOR_NO_MATCH', `no recorded RUN is "${wanted}": ${has}`, {
      data: { commandLine: request.commandLine, patterns: commands },
    })
  }
}

/**
 * An executor that applies the layers which RUN lines gave in earlier images (built here, loaded from `docker save`, or
 * copied from a registry). A line is found by its argument vector in the images' histories; among several, the one that
 * ran on the very same layers is taken. Files keep the recorded times, so that a rebuilt image has the recorded layers.
 *
 * @throws BuildError EXECUTOR_NO_MATCH from `run` for a line that stands in no history, with those that do
 * @throws ImageError IMAGE_NOT_FOUND | IMAGE_INVALID from `run`
 */
export function replayExecutor(options: ReplayOptions): Executor {
  const recordings = new Recordings(options)
  return {
    name: 'replay',
    capabilities: {
      mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'],
      networks: ['default', 'none', 'host'],
      binaries: false,
    },
    async run(request): Promise<ExecResult> {
      throwIfAborted(request.signal)
      const { layer } = await recordings.find(request)
      const { openLayerBlob } = await import('../../store/index.js')
      const { applyChangeset, readLayer } = await import('../../unionfs/index.js')
      const reader = await openLayerBlob(options.store, layer.descriptor, layer.diffID)
      throwIfAborted(request.signal)
      return { exitCode: 0, tree: applyChangeset(request.view.snapshot(), readLayer(reader)) }
    },
  }
}
