// The history of a parcel.
import { HttpError, type Router } from '@desk/http'
import type { Database } from '../db.js'
import { isStatus } from '../domain/status.js'
import { asFields, textField } from '../lib/validate.js'
import { eventsOf, recordEvent } from '../services/tracking.js'

export function addEventRoutes(router: Router, db: Database): void {
  router.on('GET', '/parcels/:code/events', ({ params }) => ({ events: eventsOf(db, params['code'] ?? '') }))
  router.on('POST', '/parcels/:code/events', ({ params, body }) => {
    const fields = asFields(body)
    const status = textField(fields, 'status')
    if (!isStatus(status)) throw new HttpError(400, `${status} is not a status`)
    const note = fields['note'] === undefined ? null : textField(fields, 'note')
    return recordEvent(db, params['code'] ?? '', { status, place: textField(fields, 'place'), note })
  })
}
