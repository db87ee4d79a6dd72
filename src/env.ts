// The only clock and dice. Leaf. Passed in wherever time or chance could change a result, so that a test can fix both.

export interface Env {
  /** Wall clock in nanoseconds since the epoch. */
  now(): bigint
  /** A random 64-bit name part: temporary files, lease ids. Never in anything that has a digest. */
  randomId(): string
  /** How many steps may run at once. */
  readonly concurrency: number
}

export const systemEnv: Env = {
  now: () => BigInt(Date.now()) * 1_000_000n,
  randomId: () =>
    Math.floor(Math.random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, '0') +
    Math.floor(Math.random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, '0'),
  concurrency: 4,
}
