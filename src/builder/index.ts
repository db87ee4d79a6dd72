// Front door of the builder room.
export { build } from './build.js'
export type { BuildOptions, BuildResult } from './build.js'
export type { ContextSource, DockerfileSource } from './build-files.js'
export type { BuildPlan, PlanOptions } from './plan.js'
export { planBuild } from './plan.js'
export type { ExecMount, ExecRequest, ExecResult, Executor, ExecutorCapabilities } from './executor.js'
export type { BuildEvent, BuildListener, CacheOutcome, StepId } from './progress.js'
export type {
  CacheDep,
  CacheMap,
  Edge,
  LayerRef,
  Op,
  Result,
  RunContext,
  Vertex,
  VertexLabel,
} from './vertex.js'
export {
  checkSandbox,
  functionsExecutor,
  sandboxExecutor,
  shellExecutor,
} from './executors/index.js'
export type {
  FunctionContext,
  FunctionMatch,
  FunctionRule,
  SandboxOptions,
  ShellExecutorOptions,
} from './executors/index.js'
export { treeAfter } from './executor.js'
export {
  chompHeredoc,
  createIgnoreMatcher,
  detectSyntax,
  expandHeredoc,
  expandInstruction,
  expandWord,
  expandWords,
  formatChecks,
  formatChecksJson,
  formatExcerpt,
  lintDockerfile,
  locationOf,
  matchPath,
  parseDockerfile,
  parseIgnoreFile,
  parseInstruction,
  parseMount,
  parsePlatform,
  parsePorts,
  parseSignal,
  RULES,
} from './dockerfile/index.js'
export type {
  AnyInstruction,
  BaseImageFacts,
  CheckError,
  CheckReport,
  CheckResult,
  Dockerfile,
  Escape,
  Expansion,
  ExpandOptions,
  FromInstruction,
  Heredoc,
  IgnoreMatcher,
  Instruction,
  InstructionKind,
  LintOptions,
  ListExpansion,
  ParseOptions,
  RuleName,
  RunMount,
  Stage,
} from './dockerfile/index.js'
