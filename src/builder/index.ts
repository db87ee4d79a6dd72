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
export { functionsExecutor } from './executors/functions.js'
export type { FunctionContext, FunctionMatch, FunctionRule } from './executors/functions.js'
export { shellExecutor } from './executors/lazy-shell.js'
export type { ShellExecutorOptions } from './executors/shell/shell.js'
