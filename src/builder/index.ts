// Front door of the builder room.
export { build } from './build.js'
export type { BuildOptions, BuildResult } from './build.js'
export type { CacheFrom, CacheTo } from './build-caches.js'
export { predictBuild } from './predict.js'
export { buildScope } from './build.js'
export { cacheRoots, listCacheRecords, pruneCache } from './cache-usage.js'
export { explainStep, explainSteps } from './explain.js'
export { formatExplanations } from './explain-text.js'
export type { ExplainOptions, Explanation, Reason } from './explain.js'
export type { FileChange, FileDifference } from './content-manifest.js'
export { solve } from './solve.js'
export type { SolveOptions, SolveResult, StepInput, StepOutcome, StepReport, StoredStep } from './solve.js'
export { CacheStore, rootKeyId, storedResult } from './cache.js'
export { exportLocalCache, importInlineCache, importLocalCache, inlineCache } from './cache-files.js'
export { exportCacheConfig } from './cache-config.js'
export type { CacheConfig, CacheExport, CacheLayer, CacheRecord } from './cache-config.js'
export { importCacheConfig } from './cache-import.js'
export type { ImportSource } from './cache-import.js'
export type { CacheImport, KeyId, KeyLink, KeyRecord, SaveRequest, StoredResult } from './cache.js'
export { buildkitScheme, classicScheme, KEY_SCHEMES } from './key-scheme.js'
export type { KeyScheme, SchemeMap } from './key-scheme.js'
export { openContext, tarContext, treeContext } from './context.js'
export type { BuildContext, ContextFilter, OpenContextOptions } from './context.js'
export { checksumTree, contentKeyOf } from './contenthash.js'
export type { ContentSelector } from './content-selector.js'
export {
  contentKey,
  execOpDigest,
  fileOpDigest,
  fileSelector,
  imageChainKey,
  imageManifestKey,
  mergeOpDigest,
  mountSelector,
  recordId,
  sourceDigest,
} from './key.js'
export type { CopyAction, ExecMountSpec, ExecSpec, FileAction, KeyPlatform, PlacedAction } from './key.js'
export type { ContextSource, DockerfileSource } from './build-files.js'
export { whyPath } from './why.js'
export type { PathEntry, PathEvent, PathHistory } from './why.js'
export { parseOutput } from './output-spec.js'
export type { BuildOutput, ByteSink, ParsedOutput } from './output-spec.js'
export type { BuildPlan, PlanOptions } from './plan.js'
export { planBuild } from './plan.js'
export type {
  ExecLimits,
  ExecMount,
  ExecRequest,
  ExecResult,
  Executor,
  ExecutorCapabilities,
  HostMount,
  SharedFolder,
} from './executor.js'
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
  autoExecutor,
  checkSandbox,
  functionsExecutor,
  replayExecutor,
  readSharedFolder,
  recoverSharedFolders,
  sandboxExecutor,
  signalSession,
  shellExecutor,
  readAccountFiles,
  resolveIdentity,
} from './executors/index.js'
export type {
  AutoOptions,
  ExecutorChoice,
  FunctionContext,
  FunctionMatch,
  FunctionRule,
  ReplayOptions,
  SandboxOptions,
  ShellExecutorOptions,
} from './executors/index.js'
export { treeAfter } from './executor.js'
export { openSshAgent } from './ssh-agent.js'
export type { SshAgent, SshSource } from './ssh-agent.js'
export { DEFAULT_PATH } from './platform.js'
export {
  chompHeredoc,
  createIgnoreMatcher,
  detectSyntax,
  expandHeredoc,
  expandInstruction,
  expandWord,
  expandWords,
  formatCheckError,
  formatChecks,
  formatChecksJson,
  formatExcerpt,
  formatLines,
  formatOutline,
  formatOutlineJson,
  formatTargets,
  formatTargetsJson,
  formatWarnings,
  lintDockerfile,
  locationOf,
  matchPath,
  outlineDockerfile,
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
  Outline,
  OutlineArg,
  OutlineMount,
  ParseOptions,
  RuleName,
  RunMount,
  Stage,
} from './dockerfile/index.js'
export { readBuildTexts } from './build-files.js'
export type { BuildTexts } from './build-files.js'
export { hostGit, resolveContext } from './git-context.js'
export type { GitContextOptions } from './git-context.js'
export type { GitAccess, GitCheckout, GitClient, GitRefs } from './git-client.js'
