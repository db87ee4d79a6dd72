// Figures for the notice board.
import type { Router } from '@desk/http'
import type { Database } from '../db.js'
import { computeStats } from '../services/stats.js'

export function addStatsRoutes(router: Router, db: Database): void {
  router.on('GET', '/stats', () => computeStats(db, new Date()))
}
