// The kernel's side of a case: started by kernel-mount.sh with the overlay as its root. Says that it is loaded, waits for
// the case, runs it, prints the
// results. The final tree is printed here by root; for others kernel-mount.sh has kernel-dump.mjs do it afterwards.
import fs from 'node:fs'
import { dump, execute } from './executor.mjs'

fs.writeSync(3, 'ready\n')
fs.closeSync(3)
const { steps, identity, umask } = JSON.parse(fs.readFileSync(0, 'utf8'))
process.chdir('/')
process.umask(umask)
if (identity.uid !== 0) {
  // The real user too: access(2) goes by it.
  process.setgroups(identity.groups)
  process.setgid(identity.gid)
  process.setuid(identity.uid)
}
fs.writeSync(1, `${JSON.stringify(execute(fs, steps))}\n`)
if (identity.uid === 0) fs.writeSync(1, JSON.stringify(dump(fs, '/')))
