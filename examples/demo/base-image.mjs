// A small stand-in for `node:20`: folders, accounts and environment of such an image, and no programs, since the demo's RUN
// lines are carried out by functions. Fixed times, so that the image is the same everywhere.
import { build } from 'lamella/builder'
import { resolveImage } from 'lamella/oci'
import { UnionView } from 'lamella/unionfs'

export const BASE = 'node:20'
const FOLDERS = ['bin', 'etc', 'home/node', 'opt', 'root', 'usr/bin', 'usr/local/bin', 'usr/src', 'var/tmp']
const FILES = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nnode:x:1000:1000::/home/node:/bin/bash\n',
  '/etc/group': 'root:x:0:\nnode:x:1000:\n',
  '/etc/os-release': 'PRETTY_NAME="lamella demo base"\nID=lamella-demo\n',
}
const DOCKERFILE = `FROM scratch
COPY . /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin NODE_VERSION=20
CMD ["node"]
`
/** 2024-01-01: old enough not to look like the demo's own work. */
const EPOCH = 1_704_067_200

/** Makes the image where the store lacks it. @returns whether it was made */
export async function ensureBaseImage(store) {
  try {
    await resolveImage(store, BASE)
    return false
  } catch (error) {
    if (error.code !== 'IMAGE_NOT_FOUND') throw error
  }
  await build({
    store,
    context: contents(),
    dockerfile: { text: DOCKERFILE, name: 'Dockerfile.base' },
    tags: [BASE],
    sourceDateEpoch: EPOCH,
  })
  return true
}

function contents() {
  const view = new UnionView()
  const { fs } = view
  for (const folder of FOLDERS) fs.mkdirSync(`/${folder}`, { recursive: true })
  fs.mkdirSync('/tmp')
  for (const [path, text] of Object.entries(FILES)) fs.writeFileSync(path, text)
  fs.chmodSync('/tmp', 0o1777)
  fs.chmodSync('/root', 0o700)
  fs.chownSync('/home/node', 1000, 1000)
  for (const path of fs.readdirSync('/', { recursive: true })) fs.lutimesSync(`/${path}`, EPOCH, EPOCH)
  return view
}
