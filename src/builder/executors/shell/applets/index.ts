// The commands that the shell executor adds to just-bash's own or puts in their place.
import type { Applet } from '../process.js'
import { cp, install, mv } from './copy.js'
import { link, ln, mkdir, mkfifo, mknod, realpath, rm, rmdir, touch, truncate, unlink } from './files.js'
import { find } from './find.js'
import { diff } from './diff.js'
import { printf } from './printf.js'
import { redirect, redirected } from './redirect.js'
import { echo, trap } from './shell-words.js'
import { ls, stat } from './stat.js'
import { tar } from './tar.js'
import { bracket, test } from './test.js'
import { cmp, dd, sync } from './text.js'
import { chgrp, chmod, chown, groups, id, umask, whoami } from './ownership.js'
import { groupadd, groupdel, useradd, userdel, usermod } from './shadow.js'
import { addgroup, adduser } from './adduser.js'
import { xargs } from './xargs.js'

export const applets: Readonly<Record<string, Applet>> = {
  addgroup,
  adduser,
  chgrp,
  chmod,
  chown,
  cmp,
  cp,
  dd,
  diff,
  find,
  groupadd,
  groupdel,
  groups,
  id,
  install,
  link,
  ln,
  ls,
  mkdir,
  mkfifo,
  mknod,
  mv,
  realpath,
  rm,
  rmdir,
  stat,
  sync,
  tar,
  touch,
  trap,
  truncate,
  umask,
  unlink,
  useradd,
  userdel,
  usermod,
  whoami,
  xargs,
  'lamella-redirect': redirect,
  'lamella-redirected': redirected,
  'lamella-test': test,
  'lamella-[': bracket,
}

/** Only where the shell is a POSIX sh: bash has its own. */
export const shApplets: Readonly<Record<string, Applet>> = { echo, printf }
