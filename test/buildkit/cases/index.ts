// The recorded suites by name.
import type { BuildCase } from '../case.js'
import { CHMOD_CASES } from './chmod.js'
import { CONFIG_CASES } from './config.js'
import { COPY_CASES } from './copy.js'

export const SUITES: Readonly<Record<string, readonly BuildCase[]>> = {
  copy: COPY_CASES,
  chmod: CHMOD_CASES,
  config: CONFIG_CASES,
}
