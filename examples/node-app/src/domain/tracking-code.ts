// Tracking codes: `PD` + seven digits + a check digit (weights 8 6 4 2 3 5 9 and modulo 11, as in postal barcodes).

const WEIGHTS = [8, 6, 4, 2, 3, 5, 9]

function checkDigit(digits: string): number {
  const sum = WEIGHTS.reduce((total, weight, index) => total + weight * Number(digits[index]), 0)
  const rest = 11 - (sum % 11)
  return rest === 10 ? 0 : rest === 11 ? 5 : rest
}

export function makeTrackingCode(serial: number): string {
  const digits = String(serial).padStart(WEIGHTS.length, '0')
  return `PD${digits}${checkDigit(digits)}`
}

export function isTrackingCode(code: string): boolean {
  return /^PD\d{8}$/.test(code) && Number(code.at(-1)) === checkDigit(code.slice(2, 9))
}
