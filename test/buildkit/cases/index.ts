// The recorded suites by name.
import type { BuildCase } from '../case.js'
import { ARCHIVE_CASES } from './archive.js'
import { CHMOD_CASES } from './chmod.js'
import { CONFIG_CASES } from './config.js'
import { COPY_CASES } from './copy.js'
import { RANDOM_CASES } from './random.js'
import { USUAL_CASES } from './usual.js'

export const SUITES: Readonly<Record<string, readonly BuildCase[]>> = {
  copy: COPY_CASES,
  chmod: CHMOD_CASES,
  archive: ARCHIVE_CASES,
  config: CONFIG_CASES,
  random: RANDOM_CASES,
  usual: USUAL_CASES,
}
