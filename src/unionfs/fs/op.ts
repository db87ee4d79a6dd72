// The form in which every fs operation is written once. An operation checks its arguments and gives back what is left to
// do; triad.ts makes the synchronous, the callback and the promise form from it.

/** What is left after the arguments were checked. Runs synchronously. */
export type Run<T = unknown> = () => T

export interface Op {
  /** Arguments that must be there; a callback comes after them at the earliest. */
  readonly required: number
  /** Arguments that are known; a callback comes after them at the latest. */
  readonly arity: number
  readonly prepare: (...args: never[]) => Run
  /** For the asynchronous forms, where they differ; what is left may give a promise. */
  readonly prepareAsync?: (...args: never[]) => Run
  /** The arguments of a successful callback; default: `null`, and the result unless that is `undefined`. */
  readonly results?: (result: unknown, args: readonly unknown[]) => readonly unknown[]
}

export type OpTable = Readonly<Record<string, Op>>

export function op(
  required: number,
  arity: number,
  prepare: (...args: never[]) => Run,
  extras: Pick<Op, 'results' | 'prepareAsync'> = {},
): Op {
  return { required, arity, prepare, ...extras }
}
