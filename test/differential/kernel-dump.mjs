// Prints the final tree of a case that did not run as root; started outside of the overlay.
import fs from 'node:fs'
import { dump } from './executor.mjs'

fs.writeSync(1, JSON.stringify(dump(fs, process.argv[2])))
