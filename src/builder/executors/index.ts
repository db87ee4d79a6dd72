// The executors: who carries out RUN.
export { autoExecutor } from './auto.js'
export type { AutoOptions, ExecutorChoice } from './auto.js'
export { readAccountFiles, resolveIdentity } from './accounts.js'
export type { AccountFiles, Identity } from './accounts.js'
export { functionsExecutor } from './functions.js'
export type { FunctionContext, FunctionMatch, FunctionRule } from './functions.js'
export { replayExecutor } from './replay.js'
export type { ReplayOptions } from './replay.js'
export {
  checkSandbox,
  readSharedFolder,
  recoverSharedFolders,
  sandboxExecutor,
  signalSession,
} from './sandbox.js'
export type { SandboxOptions } from './sandbox.js'
export { shellExecutor } from './shell.js'
export type { ShellExecutorOptions } from './shell.js'
