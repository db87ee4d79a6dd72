// The kernel's side of a case: started by kernel-mount.sh with the overlay as its root. Says that it is loaded, waits for
// the case, runs it, prints the outcome.
import fs from 'node:fs'
import { dump, execute } from './executor.mjs'

fs.writeSync(3, 'ready\n')
fs.closeSync(3)
const { steps, identity, umask } = JSON.parse(fs.readFileSync(0, 'utf8'))
process.chdir('/')
process.umask(umask)
if (identity.uid !== 0) {
  process.setgroups(identity.groups)
  process.setegid(identity.gid)
  process.seteuid(identity.uid)
}
const results = execute(fs, steps)
if (identity.uid !== 0) {
  process.seteuid(0)
  process.setegid(0)
}
fs.writeSync(1, JSON.stringify({ results, tree: dump(fs) }))
