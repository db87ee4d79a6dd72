// What the demo builds, and what must then be true: which steps come from the cache, by the rules of the build cache.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** In each Dockerfile: the first instruction that has to run again after the change. */
export const DOCKERFILES = [
  { name: 'naive', file: 'Dockerfile.naive', rebuiltFrom: { source: 'COPY . .', manifest: 'COPY . .' } },
  {
    name: 'optimised',
    file: 'Dockerfile.optimised',
    rebuiltFrom: { source: 'COPY . .', manifest: 'COPY package* .' },
  },
]

/**
 * One after another, on one copy of the project. `from` says from which instruction on a Dockerfile is built again;
 * `undefined` means nowhere.
 */
export const SCENARIOS = [
  { name: 'cold', title: 'cold', change: () => {}, from: () => 'FROM' },
  { name: 'unchanged', title: 'unchanged', change: () => {}, from: () => undefined },
  {
    name: 'case 1',
    title: 'case 1: one source file changed (src/lib/log.ts)',
    change: (project, token) =>
      appendFileSync(join(project, 'src/lib/log.ts'), `\nexport const edition = '${token}'\n`),
    from: ({ rebuiltFrom }) => rebuiltFrom.source,
  },
  {
    name: 'case 2',
    title: 'case 2: package.json changed (its version)',
    change: changeVersion,
    from: ({ rebuiltFrom }) => rebuiltFrom.manifest,
  },
]

function changeVersion(project, token) {
  const path = join(project, 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  manifest.version = `${manifest.version}-${token}`
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`)
}

/** `CACHED` or `built` for each instruction that makes a step, as it must be. */
export function expectedResults(instructions, from) {
  const first =
    from === undefined ? Infinity : instructions.findIndex((instruction) => instruction.startsWith(from))
  if (first === -1) throw new Error(`no instruction begins with "${from}"`)
  return instructions.map((_, index) => (index < first ? 'CACHED' : 'built'))
}
