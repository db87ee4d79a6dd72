// Figures over all parcels.
import type { Database } from '../db.js'
import { priceOf } from '../domain/tariff.js'
import { hoursBetween } from '../lib/clock.js'

export interface Stats {
  readonly parcels: number
  readonly byStatus: Readonly<Record<string, number>>
  readonly revenueCents: number
  readonly oldestHours: number
}

export function computeStats(db: Database, now: Date): Stats {
  const parcels = db.parcel.findMany()
  const byStatus: Record<string, number> = {}
  let revenueCents = 0
  let oldestHours = 0
  for (const parcel of parcels) {
    byStatus[parcel.status] = (byStatus[parcel.status] ?? 0) + 1
    revenueCents += priceOf(parcel.grams)?.cents ?? 0
    oldestHours = Math.max(oldestHours, hoursBetween(parcel.createdAt, now))
  }
  return { parcels: parcels.length, byStatus, revenueCents, oldestHours }
}
