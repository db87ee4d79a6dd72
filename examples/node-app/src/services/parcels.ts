// Registering and finding parcels.
import { HttpError } from '@desk/http'
import type { Parcel } from '@desk/client'
import type { Database } from '../db.js'
import { priceOf, type Price } from '../domain/tariff.js'
import { isTrackingCode, makeTrackingCode } from '../domain/tracking-code.js'

export interface NewParcel {
  readonly recipient: string
  readonly city: string
  readonly grams: number
}

export type PricedParcel = Parcel & { readonly price: Price }

export function registerParcel(db: Database, { recipient, city, grams }: NewParcel): PricedParcel {
  const price = priceOf(grams)
  if (price === undefined) throw new HttpError(400, 'the parcel is too heavy')
  const code = makeTrackingCode(db.parcel.count() + 1)
  return { ...db.parcel.create({ data: { code, recipient, city, grams } }), price }
}

export function getParcel(db: Database, code: string): Parcel {
  if (!isTrackingCode(code)) throw new HttpError(400, `${code} is not a tracking code`)
  const parcel = db.parcel.findUnique({ where: { code } })
  if (parcel === null) throw new HttpError(404, `there is no parcel ${code}`)
  return parcel
}

export function listParcels(db: Database, city: string | null): Parcel[] {
  return db.parcel.findMany(city === null ? {} : { where: { city } })
}
