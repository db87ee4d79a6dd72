// What a Dockerfile is after parsing: typed instructions in stages, every one with its place in the text. Values only;
// the texts of words stay unexpanded here, because what a variable holds is known to the planner, not to the parser.
// @see moby/buildkit frontend/dockerfile/instructions/commands.go
import type { SourceRange } from '../../errors.js'

/** The character that escapes and continues lines: `# escape=`, default backslash. */
export type Escape = '\\' | '`'

/** A parser directive at the top of the file. */
export interface Directive {
  readonly name: 'syntax' | 'escape' | 'check'
  readonly value: string
  readonly range: SourceRange
}

/** A flag of an instruction as written: `--from=build` has name `from`, value `build`; `--link` has no value. */
export interface Flag {
  readonly name: string
  readonly value: string | undefined
  readonly range: SourceRange
}

/** A here-document with the body as it stands in the file; leading tabs of `<<-` are still there. */
export interface Heredoc {
  /** The delimiter without quotes; for COPY and ADD also the name of the file. */
  readonly name: string
  readonly fileDescriptor: number
  /** No part of the delimiter was quoted: COPY and ADD expand variables in the body. */
  readonly expand: boolean
  /** `<<-`: leading tabs of every line go when the body is used (`chompHeredoc`). */
  readonly chomp: boolean
  readonly content: string
}

export type InstructionKind =
  | 'add'
  | 'arg'
  | 'cmd'
  | 'copy'
  | 'entrypoint'
  | 'env'
  | 'expose'
  | 'from'
  | 'healthcheck'
  | 'label'
  | 'maintainer'
  | 'onbuild'
  | 'run'
  | 'shell'
  | 'stopsignal'
  | 'user'
  | 'volume'
  | 'workdir'

interface InstructionBase<Kind extends InstructionKind> {
  readonly kind: Kind
  /** The keyword as written: `RUN`, `run`, `Run`. */
  readonly keyword: string
  /**
   * The instruction on one line: continuations joined, comments and blank ends dropped, here-document bodies left out.
   * This is what BuildKit shows in progress names (after `uppercaseKeyword`).
   */
  readonly text: string
  /** From the keyword to the end of the last line, here-document bodies and terminators included. */
  readonly range: SourceRange
  /** Texts of the comment lines directly above, without `#` and outer blanks. */
  readonly comments: readonly string[]
  readonly flags: readonly Flag[]
  /** The arguments were written as a JSON array. */
  readonly json: boolean
  readonly heredocs: readonly Heredoc[]
}

export interface FromInstruction extends InstructionBase<'from'> {
  /** Image, stage name or `scratch`, unexpanded. */
  readonly image: string
  /** Stage name in lower case. */
  readonly name: string | undefined
  /** The stage name as written. */
  readonly nameText: string | undefined
  /** The word between image and name as written: `AS` or `as`. */
  readonly asText: string | undefined
  /** `--platform`, unexpanded. */
  readonly platform: string | undefined
  /** The comment above that starts with the stage's name, without the name. */
  readonly description: string | undefined
}

export interface ArgDeclaration {
  readonly name: string
  /** Default, unexpanded; `undefined` for `ARG NAME`, `''` for `ARG NAME=`. */
  readonly value: string | undefined
  /** The comment above that starts with the name, without the name. */
  readonly description: string | undefined
}

export interface ArgInstruction extends InstructionBase<'arg'> {
  readonly args: readonly ArgDeclaration[]
}

export interface KeyValue {
  readonly key: string
  readonly value: string
  /** Written as `KEY value` (legacy form) instead of `KEY=value`. */
  readonly legacy: boolean
}

export interface EnvInstruction extends InstructionBase<'env'> {
  readonly pairs: readonly KeyValue[]
}

export interface LabelInstruction extends InstructionBase<'label'> {
  readonly pairs: readonly KeyValue[]
}

/** A here-document as a source of COPY or ADD; tabs of `<<-` are already gone. */
export interface InlineSource {
  readonly name: string
  readonly content: string
  /** Variables in `content` expand (`expandHeredoc`). */
  readonly expand: boolean
}

interface TransferInstruction<Kind extends 'copy' | 'add'> extends InstructionBase<Kind> {
  /** Paths, patterns and URLs in order, unexpanded; here-documents are in `inline`. */
  readonly sources: readonly string[]
  readonly inline: readonly InlineSource[]
  readonly dest: string
  readonly chown: string | undefined
  readonly chmod: string | undefined
  readonly link: boolean
  readonly exclude: readonly string[]
}

export interface CopyInstruction extends TransferInstruction<'copy'> {
  readonly from: string | undefined
  readonly parents: boolean
}

export interface AddInstruction extends TransferInstruction<'add'> {
  readonly checksum: string | undefined
  readonly keepGitDir: boolean | undefined
  /** `undefined` when the flag is absent: local archives are unpacked, remote ones are not. */
  readonly unpack: boolean | undefined
}

/** Arguments of RUN, CMD, ENTRYPOINT: words in exec form, else one string for the shell. */
export interface CommandLine {
  readonly form: 'exec' | 'shell'
  /** Shell form: no element (empty command) or one. */
  readonly args: readonly string[]
}

export interface RunInstruction extends InstructionBase<'run'> {
  readonly command: CommandLine
  /** Values of `--mount`, unexpanded; `parseMount` makes a `RunMount` of each once variables are known. */
  readonly mounts: readonly string[]
  readonly network: 'default' | 'none' | 'host'
  readonly security: 'sandbox' | 'insecure'
  readonly devices: readonly RunDevice[]
}

export interface RunDevice {
  readonly name: string
  readonly required: boolean
}

export type MountType = 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh'

/** One `--mount`, as BuildKit reads it; absent values are `undefined`, defaults that depend on the stage are not filled in. */
export interface RunMount {
  readonly type: MountType
  readonly from: string | undefined
  readonly source: string | undefined
  readonly target: string | undefined
  readonly readOnly: boolean
  /** tmpfs, in bytes. */
  readonly sizeBytes: number | undefined
  /** cache, secret, ssh. */
  readonly id: string | undefined
  readonly sharing: 'shared' | 'private' | 'locked' | undefined
  readonly required: boolean
  /** secret: name of the variable that gets the value. */
  readonly env: string | undefined
  readonly mode: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
}

export interface CmdInstruction extends InstructionBase<'cmd'> {
  readonly command: CommandLine
}

export interface EntrypointInstruction extends InstructionBase<'entrypoint'> {
  readonly command: CommandLine
}

export interface ShellInstruction extends InstructionBase<'shell'> {
  readonly shell: readonly string[]
}

export interface HealthcheckInstruction extends InstructionBase<'healthcheck'> {
  /** `['NONE']`, `['CMD', ...argv]` or `['CMD-SHELL', command]`, as in the image config. */
  readonly test: readonly string[]
  /** Nanoseconds, as in the image config; 0 = not set. */
  readonly intervalNs: number
  readonly timeoutNs: number
  readonly startPeriodNs: number
  readonly startIntervalNs: number
  /** 0 = not set. */
  readonly retries: number
}

export interface ExposeInstruction extends InstructionBase<'expose'> {
  /** In byte order, unexpanded; `parsePorts` unfolds them once expanded. */
  readonly ports: readonly string[]
}

export interface VolumeInstruction extends InstructionBase<'volume'> {
  readonly volumes: readonly string[]
}

export interface UserInstruction extends InstructionBase<'user'> {
  readonly user: string
}

export interface WorkdirInstruction extends InstructionBase<'workdir'> {
  readonly path: string
}

export interface StopsignalInstruction extends InstructionBase<'stopsignal'> {
  readonly signal: string
}

export interface MaintainerInstruction extends InstructionBase<'maintainer'> {
  readonly maintainer: string
}

export interface OnbuildInstruction extends InstructionBase<'onbuild'> {
  /** What is stored in the image config and given to `parseInstruction` by a child build; here-documents included. */
  readonly expression: string
}

/** Everything that can stand in a stage after its FROM. */
export type Instruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction

export type AnyInstruction = Instruction | FromInstruction

export interface Stage {
  /** Position in the file, from 0. */
  readonly index: number
  readonly name: string | undefined
  readonly from: FromInstruction
  readonly instructions: readonly Instruction[]
}

/** Something that BuildKit's parser accepts with a warning: today only NoEmptyContinuation. */
export interface ParseWarning {
  readonly rule: 'NoEmptyContinuation'
  readonly message: string
  readonly range: SourceRange
}

export interface Dockerfile {
  readonly file: string
  /** The whole text, byte order mark included. */
  readonly text: string
  /** The text's lines without their ends; `lines[n - 1]` is line n. */
  readonly lines: readonly string[]
  readonly directives: readonly Directive[]
  readonly escape: Escape
  /** ARG instructions before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[]
  readonly stages: readonly Stage[]
  readonly warnings: readonly ParseWarning[]
}
