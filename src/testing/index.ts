// Front door of the testing room: suites for those who implement lamella's contracts.
export { movableEnv } from './conformance.js'
export type { ConformanceCase, Make, StoreSubject } from './conformance.js'
export { ConformanceError, CONFORMANCE_LINES, executorCases } from './executor-conformance.js'
export type { ExecutorSubject } from './executor-conformance.js'
export { blobStoreCases } from './blob-store-conformance.js'
export { storeCases } from './store-conformance.js'
