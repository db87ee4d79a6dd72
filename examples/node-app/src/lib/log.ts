// One line to standard output for each event, with the time.
import { timestamp } from './clock.js'

export type Log = (message: string) => void

export function createLog(quiet: boolean): Log {
  return quiet ? () => undefined : (message) => console.log(`${timestamp()} ${message}`)
}
