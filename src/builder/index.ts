// Front door of the builder room.
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
