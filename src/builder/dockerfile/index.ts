// Front door of the Dockerfile language: parser, expander, ignore files, build checks. Pure; runs in a browser.
export type {
  AddInstruction,
  AnyInstruction,
  ArgDeclaration,
  ArgInstruction,
  CmdInstruction,
  CommandLine,
  CopyInstruction,
  Directive,
  Dockerfile,
  EntrypointInstruction,
  EnvInstruction,
  Escape,
  ExposeInstruction,
  Flag,
  FromInstruction,
  HealthcheckInstruction,
  Heredoc,
  InlineSource,
  Instruction,
  InstructionKind,
  KeyValue,
  LabelInstruction,
  MaintainerInstruction,
  MountType,
  OnbuildInstruction,
  ParseWarning,
  RunDevice,
  RunInstruction,
  RunMount,
  ShellInstruction,
  Stage,
  StopsignalInstruction,
  UserInstruction,
  VolumeInstruction,
  WorkdirInstruction,
} from './ast.js'
export { detectSyntax } from './directives.js'
export {
  expandHeredoc,
  expandWord,
  expandWords,
  type Expansion,
  type ExpandOptions,
  type ListExpansion,
} from './expand.js'
export {
  expandInstruction,
  mountSource,
  parseMount,
  uppercaseKeyword,
  type ExpandedInstruction,
  type ExpandInstructionOptions,
} from './expand-instruction.js'
export { formatDuration, parseCsvLine } from './go-values.js'
export { chompHeredoc, isHeredocStart, type HeredocStart } from './heredoc.js'
export {
  cleanPath,
  createIgnoreMatcher,
  parseIgnoreFile,
  type IgnoreMatch,
  type IgnoreMatcher,
  type IgnoreOptions,
  type ParentMatch,
} from './ignore.js'
export type { IgnorePattern } from './ignore-pattern.js'
export { imageNameFault } from './image-name.js'
export { matchPath, PatternError } from './match-path.js'
export { locationOf, parseDockerfile, parseInstruction, type ParseOptions } from './parse.js'
export { formatPlatform, normalizePlatform, parsePlatform } from './platform.js'
export { parsePort, parsePorts, type PortSpec } from './ports.js'
export { parseSignal } from './signal.js'
export { suggest, suggestion } from './suggest.js'
export { gitSource, isHttpSource, sourceFault, transferFault } from './transfer.js'
export {
  formatOutline,
  formatOutlineJson,
  formatTargets,
  formatTargetsJson,
  type Outline,
  type OutlineArg,
  type OutlineMount,
} from './lint/outline.js'
export {
  lintDockerfile,
  outlineDockerfile,
  type CheckError,
  type CheckReport,
  type LintOptions,
} from './lint/lint.js'
export type { CheckResult } from './lint/linter.js'
export {
  formatCheckError,
  formatChecks,
  formatChecksJson,
  formatExcerpt,
  formatLines,
  formatWarnings,
} from './lint/report.js'
export { RULES, type RuleName } from './lint/rules.js'
export type { BaseImageFacts } from './lint/stage-rules.js'
