// Moving a parcel along, and its history.
import { HttpError } from '@desk/http'
import type { Status, TrackingEvent } from '@desk/client'
import type { Database } from '../db.js'
import { mayFollow } from '../domain/status.js'
import { getParcel } from './parcels.js'

export interface NewEvent {
  readonly status: Status
  readonly place: string
  readonly note: string | null
}

export function recordEvent(db: Database, code: string, event: NewEvent): TrackingEvent {
  const parcel = getParcel(db, code)
  if (!mayFollow(parcel.status, event.status)) {
    throw new HttpError(409, `a parcel that is ${parcel.status} cannot become ${event.status}`)
  }
  db.parcel.update({ where: { code }, data: { status: event.status } })
  return db.trackingEvent.create({ data: { parcelCode: code, ...event } })
}

export function eventsOf(db: Database, code: string): TrackingEvent[] {
  return db.trackingEvent.findMany({ where: { parcelCode: getParcel(db, code).code } })
}
