// First data, so that a fresh service has something to show.
import { readFile } from 'node:fs/promises'
import type { Database } from './db.js'
import { registerCourier } from './services/couriers.js'
import { registerParcel } from './services/parcels.js'

interface SeedData {
  readonly couriers: readonly { readonly name: string; readonly depot: string }[]
  readonly parcels: readonly { readonly recipient: string; readonly city: string; readonly grams: number }[]
}

async function readFirst(paths: readonly string[]): Promise<SeedData | undefined> {
  for (const path of paths) {
    try {
      return JSON.parse(await readFile(path, 'utf8')) as SeedData
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') throw error
    }
  }
  return undefined
}

export async function seed(db: Database, paths: readonly string[]): Promise<void> {
  const data = await readFirst(paths)
  for (const courier of data?.couriers ?? []) registerCourier(db, courier)
  for (const parcel of data?.parcels ?? []) registerParcel(db, parcel)
}
