// Parcels: register, list, look up.
import type { Router } from '@desk/http'
import type { Database } from '../db.js'
import { asFields, countField, textField } from '../lib/validate.js'
import { getParcel, listParcels, registerParcel } from '../services/parcels.js'

export function addParcelRoutes(router: Router, db: Database): void {
  router.on('GET', '/parcels', ({ query }) => ({ parcels: listParcels(db, query.get('city')) }))
  router.on('GET', '/parcels/:code', ({ params }) => getParcel(db, params['code'] ?? ''))
  router.on('POST', '/parcels', ({ body }) => {
    const fields = asFields(body)
    return registerParcel(db, {
      recipient: textField(fields, 'recipient'),
      city: textField(fields, 'city'),
      grams: countField(fields, 'grams'),
    })
  })
}
