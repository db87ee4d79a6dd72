// Time as the service writes it: UTC, whole seconds.

export function timestamp(date: Date = new Date()): string {
  return `${date.toISOString().slice(0, 19)}Z`
}

export function hoursBetween(from: Date, to: Date): number {
  return Math.round(((to.getTime() - from.getTime()) / 3_600_000) * 10) / 10
}
