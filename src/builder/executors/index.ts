// The executors: who carries out RUN.
export { functionsExecutor } from './functions.js'
export type { FunctionContext, FunctionMatch, FunctionRule } from './functions.js'
export { checkSandbox, sandboxExecutor } from './sandbox.js'
export type { SandboxOptions } from './sandbox.js'
export { shellExecutor } from './shell.js'
export type { ShellExecutorOptions } from './shell.js'
