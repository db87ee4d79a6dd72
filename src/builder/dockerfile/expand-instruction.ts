// Which words of which instruction expand, and one mount of RUN once variables are known.
// @see moby/buildkit frontend/dockerfile/instructions/commands.go (the Expand methods)
import { DockerfileError, type SourceLocation } from '../../errors.js'
import type { Escape, Instruction, RunMount } from './ast.js'
import { expandHeredoc, expandWord, expandWords, type Usage } from './expand.js'
import { ValueError } from './go-values.js'
import { checkMountSpec, readMountSpec } from './run-mount.js'

export interface ExpandInstructionOptions {
  readonly escape: Escape
  /** What errors point at. */
  readonly at?: SourceLocation | undefined
  /** Called for every word in the order of expansion, with the variables that it looked up. */
  readonly onWord?: ((usage: Usage) => void) | undefined
}

export interface ExpandedInstruction<I extends Instruction = Instruction> {
  readonly instruction: I
  readonly used: ReadonlySet<string>
  /** Variables that were looked up and are not set, in order of use. */
  readonly unset: ReadonlySet<string>
}

/**
 * The instruction with its words expanded: ADD and COPY (paths, --chown, --chmod, ADD's --checksum, here-documents; not --from,
 * --exclude), ENV and LABEL (names and values), EXPOSE (then split at blanks), STOPSIGNAL, USER, VOLUME, WORKDIR.
 * Others come back as they are: RUN, CMD and ENTRYPOINT are the shell's business, ARG's defaults and RUN's mounts expand
 * where they are used.
 *
 * @throws DockerfileError EXPANSION_INVALID
 */
export function expandInstruction<I extends Instruction>(
  instruction: I,
  env: ReadonlyMap<string, string>,
  options: ExpandInstructionOptions,
): ExpandedInstruction<I> {
  const used = new Set<string>()
  const unset = new Set<string>()
  const note = <T extends Usage>(result: T): T => {
    options.onWord?.(result)
    for (const name of result.used) used.add(name)
    for (const name of result.unset) unset.add(name)
    return result
  }
  const word = (text: string): string => note(expandWord(text, env, options)).value
  const words = (text: string): readonly string[] => note(expandWords(text, env, options)).values
  const body = (text: string): string => note(expandHeredoc(text, env, options)).value
  return { instruction: expandParts(instruction, word, words, body) as I, used, unset }
}

function expandParts(
  instruction: Instruction,
  word: (text: string) => string,
  words: (text: string) => readonly string[],
  body: (text: string) => string,
): Instruction {
  // Optional flags: an expansion that leaves nothing counts as no flag, as BuildKit's empty string does.
  const flag = (text: string | undefined): string | undefined =>
    text === undefined ? text : word(text) || undefined
  const inline = (sources: readonly { name: string; content: string; expand: boolean }[]) =>
    sources.map((source) => (source.expand ? { ...source, content: body(source.content) } : source))
  switch (instruction.kind) {
    case 'add':
      return {
        ...instruction,
        chown: flag(instruction.chown),
        chmod: flag(instruction.chmod),
        checksum: flag(instruction.checksum),
        sources: instruction.sources.map(word),
        dest: word(instruction.dest),
        inline: inline(instruction.inline),
      }
    case 'copy':
      return {
        ...instruction,
        chown: flag(instruction.chown),
        chmod: flag(instruction.chmod),
        sources: instruction.sources.map(word),
        dest: word(instruction.dest),
        inline: inline(instruction.inline),
      }
    case 'env':
    case 'label':
      return {
        ...instruction,
        pairs: instruction.pairs.map((pair) => ({ ...pair, key: word(pair.key), value: word(pair.value) })),
      }
    case 'expose':
      return { ...instruction, ports: instruction.ports.flatMap(words) }
    case 'stopsignal':
      return { ...instruction, signal: word(instruction.signal) }
    case 'user':
      return { ...instruction, user: word(instruction.user) }
    case 'volume':
      return { ...instruction, volumes: instruction.volumes.map(word) }
    case 'workdir':
      return { ...instruction, path: word(instruction.path) }
    default:
      return instruction
  }
}

/**
 * Reads one value of RUN's --mount.
 *
 * @param expand  expands the value of one key; its errors pass through
 * @throws DockerfileError FLAG_INVALID
 */
export function parseMount(spec: string, expand: (word: string) => string, at?: SourceLocation): RunMount {
  return placed(spec, at, () => readMountSpec(spec, expand))
}

/**
 * The `from` of a --mount, which may hold no variable: all that the stage graph needs before variables are known.
 *
 * @throws DockerfileError FLAG_INVALID
 */
export function mountSource(spec: string, at?: SourceLocation): string | undefined {
  return placed(spec, at, () => checkMountSpec(spec)) || undefined
}

function placed<T>(spec: string, at: SourceLocation | undefined, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof ValueError)) throw error
    const range = { start: { line: 1, column: 1 }, end: { line: 1, column: spec.length + 1 } }
    throw new DockerfileError('FLAG_INVALID', error.message, at ?? { file: '<mount>', range, line: spec })
  }
}

/** The keyword in capitals, the rest as it is: how progress shows an instruction. */
export function uppercaseKeyword(text: string): string {
  const at = text.indexOf(' ')
  return at === -1 ? text.toUpperCase() : text.slice(0, at).toUpperCase() + text.slice(at)
}
