// Front door of the testing room: suites for those who implement lamella's contracts.
export { ConformanceError, CONFORMANCE_LINES, executorCases } from './executor-conformance.js'
export type { ConformanceCase, ExecutorSubject } from './executor-conformance.js'
