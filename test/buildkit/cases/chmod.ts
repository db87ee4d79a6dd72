// --chmod: every change to every kind of mode, a change a case.
import type { BuildCase } from '../case.js'

const CHANGES = [
  '0', '7', '07', '644', '0644', '755', '1777', '4755', '07777', '00755',
  'a+x', 'a-X', 'a=X', '+X', '-X', '=X', 'u=X', 'a-X,u=X', 'u+X,g-X', 'a=r,+X', 'a=,+X', 'a-x+X', 'go=X', 'o=X,u-X',
  'u+s', 'g+s', 'o+s', 'a+s', '+s', '-s', 'u-s', 'ug=s', '=s', 'a=s',
  '+t', 'a+t', 'o+t', 'u+t', '-t', '=t', 'u=t', 'a=rwxt', '+rt',
  'u=g', 'g=u', 'o=u', 'u=o', 'go=u', 'a=u', '=u', '+u', '-u', 'u+g', 'u-g', 'g+o', 'o-g', 'u=go', 'g=u-w', 'go=u-w', 'u=rg', 'u=gr',
  'u=rwx,go=rx', 'a=rwX', 'go-rwx', 'u+rwx,g+rx,o-rwx', 'ug+rw,o=', 'a=', '=', '+', '-', 'u', '', ',', 'u+x,', ',u+x', 'u+x,,g+x',
  'u=r=w', 'u+r-w', 'u+r=w', 'u=r+wX', 'uu+x', 'aa=r', 'ugo=rx', 'u=rwxX', 'rwx', 'u+z', 'u x', '8', '888', '10000', '0o755', '-1', 'u+x g+x', '+rwx-x', 'g=u=o',
] // prettier-ignore

const CONTEXT = {
  'd/': '',
  'd/0': '000 =',
  'd/644': '=',
  'd/755': '755 =',
  'd/4711': '4711 =',
  'd/2070': '2070 =',
  'd/010': '010 =',
  'd/1666': '1666 =',
  'd/link': '->644',
  'd/700/': '700',
  'd/2600/': '2600',
  'd/1777/': '1777',
}

export const CHMOD_CASES: readonly BuildCase[] = CHANGES.map((change): BuildCase => ({
  name: `--chmod=${change}`,
  dockerfile: `FROM scratch\nCOPY --chmod="${change}" d /o\nADD --chmod="${change}" d/755 /p/q/\n`,
  context: CONTEXT,
}))
