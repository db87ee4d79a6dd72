// The commands that the shell executor adds to just-bash's own or puts in their place.
import type { Applet } from '../process.js'
import { cp, install, mv } from './copy.js'
import { link, ln, mkdir, realpath, rm, rmdir, touch, truncate, unlink } from './files.js'
import { echo, trap } from './shell-words.js'
import { cmp, dd, sync } from './text.js'
import * as users from './users.js'

export const applets: Readonly<Record<string, Applet>> = {
  addgroup: users.addgroup,
  adduser: users.adduser,
  chgrp: users.chgrp,
  chmod: users.chmod,
  chown: users.chown,
  cmp,
  cp,
  dd,
  groupadd: users.groupadd,
  groupdel: users.groupdel,
  groups: users.groups,
  id: users.id,
  install,
  link,
  ln,
  mkdir,
  mv,
  realpath,
  rm,
  rmdir,
  sync,
  touch,
  trap,
  truncate,
  umask: users.umask,
  unlink,
  useradd: users.useradd,
  userdel: users.userdel,
  usermod: users.usermod,
  whoami: users.whoami,
}

/** Only where the shell is a POSIX sh: bash has its own echo. */
export const shApplets: Readonly<Record<string, Applet>> = { echo }
