// The life of a parcel: which status may follow which.
import { Status } from '@desk/client'

const NEXT: Readonly<Record<Status, readonly Status[]>> = {
  REGISTERED: [Status.IN_TRANSIT],
  IN_TRANSIT: [Status.IN_TRANSIT, Status.OUT_FOR_DELIVERY],
  OUT_FOR_DELIVERY: [Status.DELIVERED, Status.IN_TRANSIT, Status.RETURNED],
  DELIVERED: [],
  RETURNED: [],
}

export function isStatus(value: string): value is Status {
  return Object.hasOwn(NEXT, value)
}

export function mayFollow(before: Status, after: Status): boolean {
  return NEXT[before].includes(after)
}

export function isFinal(status: Status): boolean {
  return NEXT[status].length === 0
}
