// What a parcel costs, by weight.

export interface Price {
  readonly cents: number
  readonly currency: 'EUR'
}

const STEPS: readonly (readonly [gramsMax: number, cents: number])[] = [
  [500, 390],
  [2_000, 590],
  [5_000, 890],
  [10_000, 1_190],
  [31_500, 1_990],
]

/** `undefined` for what is too heavy to be sent. */
export function priceOf(grams: number): Price | undefined {
  const step = STEPS.find(([gramsMax]) => grams <= gramsMax)
  return step === undefined ? undefined : { cents: step[1], currency: 'EUR' }
}
