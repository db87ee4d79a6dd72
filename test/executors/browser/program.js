// Builds in whatever realm it is loaded into, page or Node, over nothing but memory. The clock stands, so that the digests
// of two realms can be compared.
import { build, shellExecutor } from 'lamella/builder'
import { createMemoryStore } from 'lamella/store'
import { openTree, UnionView, EMPTY_TREE } from 'lamella/unionfs'

const DOCKERFILE = `FROM scratch AS build
WORKDIR /src
COPY . .
RUN <<SCRIPT
set -e
mkdir -p out
for f in *.txt; do tr a-z A-Z < "$f" > "out/$f"; done
sed -i 's/ONE/1/' out/a.txt
mkdir -p /etc && : > /etc/passwd && : > /etc/group
useradd -u 1234 app
install -m 750 -o app run.sh out/
ln out/a.txt out/again.txt
tar -czf out.tgz out && tar -tzf out.tgz | sort > list
SCRIPT
RUN sha256sum out/a.txt | cut -d' ' -f1 > sum && printf '%s' "$PATH" > path
FROM scratch
COPY --from=build --chown=7:8 /src/out /out
COPY --from=build /src/list /src/sum /src/path /
RUN echo ran
`

const env = {
  now: () => 1_700_000_000_000_000_000n,
  randomId: () => Math.random().toString(16).slice(2, 18).padStart(16, '0'),
  concurrency: 2,
}

/** @returns what was built: its digest, its files, what RUN printed, and how the second build went */
export async function run() {
  const view = new UnionView(EMPTY_TREE)
  for (const [path, text] of [
    ['/a.txt', 'one\n'],
    ['/b.txt', 'two\n'],
    ['/run.sh', 'echo hi\n'],
  ]) {
    view.fs.writeFileSync(path, text)
    view.fs.utimesSync(path, 1000, 1000)
  }
  let output = ''
  const store = createMemoryStore({ env })
  const options = {
    store,
    env,
    context: view.snapshot(),
    dockerfile: { text: DOCKERFILE },
    executor: shellExecutor(),
    onEvent: (event) => {
      if (event.kind === 'step-output') output += new TextDecoder().decode(event.bytes)
    },
  }
  const built = await build(options)
  const again = await build(options)
  const tree = await openTree(store, built.layers)
  return {
    digest: built.image.digest,
    again: again.image.digest,
    outcomes: [...new Set(again.steps.map(({ outcome }) => outcome))],
    output,
    files: [...tree.walk()].map(
      ({ path, node }) => `${path} ${node.mode.toString(8)} ${node.uid}:${node.gid}`,
    ),
    text: new TextDecoder().decode(tree.lookup('out/again.txt').content()),
    list: new TextDecoder().decode(tree.lookup('list').content()),
  }
}
