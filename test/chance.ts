// Chance in the tests: what is drawn follows from one seed, so that a run says the same each time; LAMELLA_SEED names
// another one, and LAMELLA_RUNS=20 lets each law run that many times as often.

/** 1, or what LAMELLA_SEED says. global-setup.ts has turned `random` into a number by then. */
export const SEED = positive('LAMELLA_SEED', 1)

const TIMES = positive('LAMELLA_RUNS', 1)

/** How many runs a law gets that has `count` of them by default. */
export function runs(count: number): number {
  return Math.max(1, Math.round(count * TIMES))
}

function positive(variable: string, byDefault: number): number {
  const text = process.env[variable] ?? String(byDefault)
  const value = Number(text)
  if (!(value > 0)) throw new Error(`${variable} is a number above 0, not ${JSON.stringify(text)}`)
  return value
}

/** mulberry32: small, seeded, good enough to choose by. What was recorded by seed depends on its sequence. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 ≤ x < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer, 0 ≤ n < count. */
  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }
}
