// The parser's front: text → Dockerfile, and one ONBUILD trigger → instruction.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go (toDispatchState), instructions/parse.go (Parse)
import type { SourceLocation, SourceRange } from '../../errors.js'
import { decodePath } from '../../path.js'
import type {
  AnyInstruction,
  ArgInstruction,
  Dockerfile,
  FromInstruction,
  Instruction,
  Stage,
} from './ast.js'
import { findCheckDirective } from './directives.js'
import { parseCheckOptions } from './lint/options.js'
import { type RawDockerfile, type RawNode, readNodes } from './nodes.js'
import { SourceText } from './text.js'
import { readInstruction } from './typed.js'

export interface ParseOptions {
  /** Name for errors, e.g. `Dockerfile`; default `Dockerfile`. */
  readonly file?: string | undefined
}

/**
 * Parses a Dockerfile. Everything that BuildKit refuses before it looks at variables, stages or files is refused here.
 *
 * @param text  the file; bytes that are not UTF-8 are kept as `decodePath` does
 * @throws DockerfileError with the place of the fault
 */
export function parseDockerfile(text: string | Uint8Array, options: ParseOptions = {}): Dockerfile {
  const source = sourceOf(text, options.file)
  refuseBadCheckOptions(source)
  return assemble(source, readNodes(source))
}

/** What the build checks want to see while instructions are read. */
export interface ReadHooks {
  /** Before the arguments of an instruction are looked at. */
  readonly before: (node: RawNode) => void
  readonly after: (instruction: AnyInstruction) => void
}

/** Reads the instructions of raw nodes and puts them into stages. @throws DockerfileError */
export function assemble(source: SourceText, raw: RawDockerfile, hooks?: ReadHooks): Dockerfile {
  const globalArgs: ArgInstruction[] = []
  const stages: { from: FromInstruction; instructions: Instruction[] }[] = []
  for (const node of raw.nodes) {
    hooks?.before(node)
    const instruction = readInstruction(node, source)
    hooks?.after(instruction)
    const stage = stages.at(-1)
    if (instruction.kind === 'from') stages.push({ from: instruction, instructions: [] })
    else if (stage !== undefined) stage.instructions.push(instruction)
    else if (instruction.kind === 'arg') globalArgs.push(instruction)
    else throw source.error('DOCKERFILE_SYNTAX', 'no build stage in current context', instruction.range)
  }
  if (stages.length === 0) {
    const range = source.rangeOfLines(source.lineCount)
    throw source.error('DOCKERFILE_SYNTAX', 'dockerfile contains no stages to build', range, { lines: [] })
  }
  return {
    file: source.file,
    text: source.text,
    lines: source.lines(),
    directives: raw.directives,
    escape: raw.escape,
    globalArgs,
    stages: stages.map(({ from, instructions }, index): Stage => ({
      index,
      name: from.name,
      from,
      instructions,
    })),
    warnings: raw.warnings,
  }
}

/** The text of a file as the parser sees it. @throws DockerfileError DOCKERFILE_EMPTY */
export function sourceOf(text: string | Uint8Array, file = 'Dockerfile'): SourceText {
  const source = new SourceText(file, typeof text === 'string' ? text : decodePath(text))
  if (source.text !== '') return source
  throw source.error('DOCKERFILE_EMPTY', 'the Dockerfile cannot be empty', source.rangeOfLines(1), {
    lines: [],
  })
}

function refuseBadCheckOptions(source: SourceText): void {
  const check = findCheckDirective(source)
  if (check === undefined) return
  const parsed = parseCheckOptions(check.value)
  if (typeof parsed !== 'string') return
  const message = `failed to parse check options: ${parsed}`
  throw source.error('DIRECTIVE_INVALID', message, source.rangeOfLines(check.line), { lines: [] })
}

/**
 * Parses one instruction, such as an ONBUILD trigger of a base image. Places count within the given text.
 *
 * @param options.at  what errors point at instead: the FROM of the child build
 * @throws DockerfileError
 */
export function parseInstruction(
  text: string,
  options: ParseOptions & { readonly at?: SourceLocation | undefined } = {},
): AnyInstruction {
  const source =
    options.at === undefined
      ? new SourceText(options.file ?? 'ONBUILD', text)
      : new PlacedText(text, options.at)
  const { nodes } = readNodes(source)
  if (nodes.length !== 1) {
    const range = source.rangeOfLines(1, source.lineCount)
    throw source.error('DOCKERFILE_SYNTAX', 'onbuild trigger should be a single expression', range)
  }
  return readInstruction(nodes[0]!, source)
}

/** A text whose errors all point at one place elsewhere. */
class PlacedText extends SourceText {
  readonly #at: SourceLocation

  constructor(text: string, at: SourceLocation) {
    super(at.file, text)
    this.#at = at
  }

  override locate(): SourceLocation {
    return this.#at
  }
}

/** The place of an instruction or range, with its source line, as errors carry it. */
export function locationOf(
  dockerfile: Dockerfile,
  of: SourceRange | { readonly range: SourceRange },
): SourceLocation {
  const range = 'range' in of ? of.range : of
  return { file: dockerfile.file, range, line: dockerfile.lines[range.start.line - 1] ?? '' }
}
