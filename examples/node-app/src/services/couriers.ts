// Couriers and their rounds.
import { HttpError } from '@desk/http'
import type { Courier, Parcel } from '@desk/client'
import type { Database } from '../db.js'
import { isFinal } from '../domain/status.js'
import { getParcel } from './parcels.js'

export function registerCourier(db: Database, data: { readonly name: string; readonly depot: string }): Courier {
  return db.courier.create({ data: { name: data.name, depot: data.depot } })
}

export function assignParcel(db: Database, courierId: number, code: string): Parcel {
  if (db.courier.findUnique({ where: { id: courierId } }) === null) throw new HttpError(404, `there is no courier ${courierId}`)
  if (isFinal(getParcel(db, code).status)) throw new HttpError(409, `parcel ${code} has arrived`)
  return db.parcel.update({ where: { code }, data: { courierId } })
}

export function roundOf(db: Database, courierId: number): Parcel[] {
  return db.parcel.findMany({ where: { courierId } }).filter((parcel) => !isFinal(parcel.status))
}
