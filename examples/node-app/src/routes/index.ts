// All pages of the service.
import { createRouter, type Router } from '@desk/http'
import type { Database } from '../db.js'
import { addCourierRoutes } from './couriers.js'
import { addEventRoutes } from './events.js'
import { addHealthRoutes } from './health.js'
import { addParcelRoutes } from './parcels.js'
import { addStatsRoutes } from './stats.js'

export function createRoutes(db: Database): Router {
  const router = createRouter()
  addHealthRoutes(router)
  addParcelRoutes(router, db)
  addEventRoutes(router, db)
  addCourierRoutes(router, db)
  addStatsRoutes(router, db)
  return router
}
