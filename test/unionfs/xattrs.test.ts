// getxattr, setxattr with XATTR_REPLACE and removexattr of names that are not set, on every kind of file, as root and as
// another user: what Linux 6.18 answered on ext4, recorded in recorded/xattrs.json.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { UnionView } from 'lamella/unionfs'

type Row = readonly [
  uid: number,
  path: string,
  name: string,
  followLast: boolean,
  get: string,
  set: string,
  remove: string,
]

const rows = JSON.parse(readFileSync(new URL('./recorded/xattrs.json', import.meta.url), 'utf8')) as Row[]

function makeView(): UnionView {
  const view = new UnionView()
  const { fs } = view
  for (const [name, mode, uid] of [
    ['f', 0o644, 0],
    ['o', 0o644, 1000],
    ['w', 0o666, 0],
  ] as const) {
    fs.writeFileSync(`/${name}`, '')
    fs.chmodSync(`/${name}`, mode)
    fs.chownSync(`/${name}`, uid, uid)
  }
  for (const [name, mode, uid] of [
    ['d', 0o755, 0],
    ['s', 0o1777, 0],
    ['ow', 0o755, 1000],
  ] as const) {
    fs.mkdirSync(`/${name}`)
    fs.chmodSync(`/${name}`, mode)
    fs.chownSync(`/${name}`, uid, uid)
  }
  fs.symlinkSync('f', '/l')
  view.mknod('/p', 'fifo', { mode: 0o644 })
  return view
}

const root = makeView()
const user = root.fork({ uid: 1000, gid: 1000 })

function codeOf(call: () => unknown): string {
  try {
    // The view says `undefined` where the system call fails with ENODATA.
    return call() === undefined ? 'none' : 'ok'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('xattr calls answer as Linux', () => {
  test.each([0, 1000])('as user %d', (who) => {
    const mine = rows.filter(([uid]) => uid === who)
    expect(mine.length).toBeGreaterThan(100)
    for (const [uid, path, name, followLast, get, set, remove] of mine) {
      const view = uid === 0 ? root : user
      const ours = [
        codeOf(() => view.getxattr(`/${path}`, name, { followLast })),
        codeOf(() => view.setxattr(`/${path}`, name, new Uint8Array(1), { followLast, rule: 'replace' })),
        codeOf(() => view.removexattr(`/${path}`, name, { followLast })),
      ]
      const theirs = [get === 'ENODATA' ? 'none' : get, set, remove]
      expect(ours, `${path} ${name} ${followLast}`).toEqual(theirs)
    }
  })
})
