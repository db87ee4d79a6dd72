// The `functions` executor: RUN lines carried out by functions of the embedder over the view's file system. Pure of
// effects itself; runs wherever the functions run.
import { BuildError, isAbortError, throwIfAborted } from '../../errors.js'
import type { ExecRequest, ExecResult, Executor } from '../executor.js'
import { requireCapabilities } from './capabilities.js'
import { withMounts } from './in-view-mounts.js'
import { withWholeStdin } from './stdin.js'

/** What a function gets: the request, and the usual conveniences made from it. */
export interface FunctionContext extends ExecRequest {
  /** `request.view.fs`: `node:fs`-shaped. */
  readonly fs: ExecRequest['view']['fs']
  /** The environment by name; the last of equal names counts. */
  readonly environment: Readonly<Record<string, string>>
  /** What the RegExp matched; `undefined` under other kinds of rule. */
  readonly match: RegExpExecArray | undefined
  /** Writes text to the step's standard output; adds no line end. */
  stdout(text: string): void
  /** Writes text to the step's standard error; adds no line end. */
  stderr(text: string): void
}

/**
 * Which RUN lines a function takes. A string is compared with the whole command line, where runs of blanks count as one;
 * a RegExp is searched for in it; a predicate sees the whole request.
 */
export type FunctionMatch = string | RegExp | ((request: ExecRequest) => boolean)

export interface FunctionRule {
  readonly match: FunctionMatch
  /** @returns the exit code; nothing means 0. What it throws fails the step as RUN_FAILED with the error as cause. */
  run(context: FunctionContext): number | void | Promise<number | void>
}

const encoder = new TextEncoder()
const collapse = (text: string) => text.replace(/\s+/g, ' ').trim()

interface Found {
  readonly rule: FunctionRule
  readonly match: RegExpExecArray | undefined
}

function findRule(rules: readonly FunctionRule[], request: ExecRequest): Found | undefined {
  const line = collapse(request.commandLine)
  for (const rule of rules) {
    const { match } = rule
    if (typeof match === 'string') {
      if (collapse(match) === line) return { rule, match: undefined }
    } else if (typeof match === 'function') {
      if (match(request)) return { rule, match: undefined }
    } else {
      // A global or sticky pattern remembers where it stopped; the next RUN must not begin there.
      match.lastIndex = 0
      const found = match.exec(request.commandLine)
      if (found !== null) return { rule, match: found }
    }
  }
  return undefined
}

/** A rule's pattern as people read it. */
export function describeMatch(match: FunctionMatch): string {
  if (typeof match === 'string') return `"${match}"`
  if (match instanceof RegExp) return String(match)
  return match.name === '' || match.name === 'match' ? 'a predicate' : `predicate ${match.name}()`
}

function noMatch(rules: readonly FunctionRule[], request: ExecRequest): BuildError {
  const patterns = rules.map((rule) => describeMatch(rule.match))
  const list = patterns.length === 0 ? 'there are no rules' : `it knows ${patterns.join(', ')}`
  return new BuildError(
    'EXECUTOR_NO_MATCH',
    `no function takes "${collapse(request.commandLine)}": ${list}`,
    {
      data: { commandLine: request.commandLine, patterns },
    },
  )
}

function contextOf(request: ExecRequest, match: RegExpExecArray | undefined): FunctionContext {
  return {
    ...request,
    fs: request.view.fs,
    environment: Object.fromEntries(request.env),
    match,
    stdout: (text) => request.onOutput('stdout', encoder.encode(text)),
    stderr: (text) => request.onOutput('stderr', encoder.encode(text)),
  }
}

async function call(found: Found, request: ExecRequest): Promise<number> {
  try {
    return (await found.rule.run(contextOf(request, found.match))) ?? 0
  } catch (error) {
    if (isAbortError(error)) throw error
    const message = error instanceof Error ? error.message : String(error)
    const pattern = describeMatch(found.rule.match)
    throw new BuildError('RUN_FAILED', `the function for ${pattern} failed: ${message}`, {
      data: { commandLine: request.commandLine, pattern },
      cause: error,
    })
  }
}

/**
 * An executor over the embedder's own functions: the first rule that matches a RUN line carries it out. Mounts are seen
 * as files in the view; whether to honour `network`, `user` and `timeoutMs` is the functions' affair.
 *
 * @throws BuildError EXECUTOR_NO_MATCH from `run`, with the patterns, when no rule matches
 * @throws BuildError RUN_FAILED from `run` when a function throws
 *
 * @example
 * functionsExecutor([{ match: /^touch (\S+)$/, run: ({ fs, match }) => fs.writeFileSync(match![1]!, '') }])
 */
export function functionsExecutor(rules: readonly FunctionRule[]): Executor {
  const executor: Executor = {
    name: 'functions',
    capabilities: {
      mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'],
      networks: ['default', 'none', 'host'],
      binaries: false,
    },
    async run(request): Promise<ExecResult> {
      throwIfAborted(request.signal)
      requireCapabilities(executor, request)
      const found = findRule(rules, request)
      if (found === undefined) throw noMatch(rules, request)
      const whole = await withWholeStdin(request)
      const run = async () => ({ exitCode: await call(found, whole) })
      const result = await withMounts(request, run)
      throwIfAborted(request.signal)
      return result
    },
  }
  return executor
}
