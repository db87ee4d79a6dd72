// Lifts operations, each written once, to the three forms of Node's API.
//
// Arguments are checked at the call in every form. The effect happens at the call too, and its result is handed over in
// a later turn, so that what one client starts in order also happens in order. With an AbortSignal the effect waits for
// that turn as well, because the signal may still fire until then.
import { defer } from '#unionfs-host'
import { AbortError } from '../../errors.js'
import { checkFunction } from './arguments.js'
import type { Op, Run } from './op.js'

export type Method = (...args: unknown[]) => unknown
type Prepare = (...args: unknown[]) => Run

export function toSync(operation: Op): Method {
  const prepare = operation.prepare as Prepare
  switch (operation.arity) {
    case 1:
      return (a) => prepare(a)()
    case 2:
      return (a, b) => prepare(a, b)()
    case 3:
      return (a, b, c) => prepare(a, b, c)()
    default:
      return (...args) => prepare(...args)()
  }
}

/** Where the callback is among the arguments: the first function after those that must be there. */
function callbackIndex(args: readonly unknown[], { required, arity }: Op): number {
  for (let i = required; i <= arity; i++) if (typeof args[i] === 'function') return i
  return Math.max(required, Math.min(arity, args.length - 1))
}

export function toCallback(operation: Op): Method {
  const prepare = (operation.prepareAsync ?? operation.prepare) as Prepare
  const results = operation.results ?? ((result: unknown) => (result === undefined ? [null] : [null, result]))
  return (...given) => {
    const at = callbackIndex(given, operation)
    const callback = given[at]
    checkFunction(callback, 'cb')
    const done = callback as (...results: readonly unknown[]) => void
    const args = given.slice(0, at)
    perform(prepare(...args), signalOf(args), (deliver) => defer(deliver), {
      resolve: (result) => done(...results(result, args)),
      reject: done,
    })
  }
}

export function toPromise(operation: Op): (...args: unknown[]) => Promise<unknown> {
  const prepare = (operation.prepareAsync ?? operation.prepare) as Prepare
  return (...args) =>
    new Promise((resolve, reject) => {
      perform(prepare(...args), signalOf(args), (deliver) => deliver(), { resolve, reject })
    })
}

interface Outcome {
  resolve(result: unknown): void
  reject(error: unknown): void
}

function perform(
  run: Run,
  signal: AbortSignal | undefined,
  later: (deliver: () => void) => void,
  outcome: Outcome,
): void {
  if (signal !== undefined) {
    defer(() => {
      if (signal.aborted) outcome.reject(new AbortError(signal.reason))
      else perform(run, undefined, (deliver) => deliver(), outcome)
    })
    return
  }
  let result: unknown
  try {
    result = run()
  } catch (error) {
    later(() => outcome.reject(error))
    return
  }
  if (result instanceof Promise) {
    result.then(
      (value: unknown) => later(() => outcome.resolve(value)),
      (error: unknown) => later(() => outcome.reject(error)),
    )
  } else later(() => outcome.resolve(result))
}

/** The signal among the options of a call. */
function signalOf(args: readonly unknown[]): AbortSignal | undefined {
  const options = args[args.length - 1]
  if (options === null || typeof options !== 'object') return undefined
  const { signal } = options as { signal?: AbortSignal }
  return signal instanceof AbortSignal ? signal : undefined
}
