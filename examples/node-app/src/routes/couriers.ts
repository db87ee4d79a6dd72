// Couriers: their rounds, and who takes which parcel.
import type { Router } from '@desk/http'
import type { Database } from '../db.js'
import { asFields, textField } from '../lib/validate.js'
import { assignParcel, registerCourier, roundOf } from '../services/couriers.js'

export function addCourierRoutes(router: Router, db: Database): void {
  router.on('GET', '/couriers', () => ({ couriers: db.courier.findMany() }))
  router.on('GET', '/couriers/:id/round', ({ params }) => ({ parcels: roundOf(db, Number(params['id'])) }))
  router.on('POST', '/couriers', ({ body }) => {
    const fields = asFields(body)
    return registerCourier(db, { name: textField(fields, 'name'), depot: textField(fields, 'depot') })
  })
  router.on('POST', '/couriers/:id/parcels', ({ params, body }) =>
    assignParcel(db, Number(params['id']), textField(asFields(body), 'code')),
  )
}
