// Is the service alive.
import type { Router } from '@desk/http'

export function addHealthRoutes(router: Router): void {
  router.on('GET', '/health', () => ({ status: 'ok', uptimeSeconds: Math.floor(process.uptime()) }))
}
