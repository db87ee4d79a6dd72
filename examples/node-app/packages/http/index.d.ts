import type { Server } from 'node:http'

export interface Call {
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly body: unknown
}

export type Handler = (call: Call) => unknown

export interface Router {
  on(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', pattern: string, handler: Handler): Router
}

export declare class HttpError extends Error {
  readonly status: number
  constructor(status: number, message: string)
}

export declare function createRouter(): Router
export declare function createServer(
  router: Router,
  options?: { onAnswer?: (method: string, path: string, status: number) => void },
): Server
