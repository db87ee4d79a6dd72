// Compiles src/ into dist/ with tsc, then merges the modules of each entry point into a few chunks.
//
// Why merge: a cached build would load 150 small modules, which costs more than the build itself (measured on Node 20,
// a 10-file context: 171 ms as 150 files, 129 ms as chunks, `node -e 0` 54 ms). Chunks are shared between the entry points,
// so that a class has one identity whichever door it came through; what one command needs of a room does not bring the room
// (direct-imports.mjs). What `package.json` resolves by condition (`#platform`,
// `#unionfs-host`) stays a file of its own, and dependencies stay imports.
//
// Nothing is written when a type is wrong, so that a failed build leaves the last good dist/.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { directImports } from './direct-imports.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const compiled = join(root, 'dist')

/** What a cached build of the command line loads, in two: commands that look at images need only the first. */
const GROUPS = {
  store: ['store/disk-store.js', 'store/open.js', 'oci/image.js', 'oci/reference.js'],
  builder: ['builder/build.js'],
}

compile()
await merge()

function compile() {
  const typescript = require.resolve('typescript/package.json')
  const tsc = join(dirname(typescript), require(typescript).bin.tsc)
  const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json')], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
}

async function merge() {
  const { build } = await import('esbuild')
  const entries = [...Object.values(manifest.exports), manifest.bin.lamella].filter((path) =>
    path.endsWith('.js'),
  )
  const packages = Object.keys({
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.peerDependencies,
  })
  const modules = filesOf(compiled).filter((path) => path.endsWith('.js') && existsSync(sourceOf(path)))
  const merged = join(root, `dist.merged-${process.pid}`)
  try {
    await build({
      absWorkingDir: root,
      entryPoints: entries.filter((path) => existsSync(join(root, path))),
      outbase: 'dist',
      outdir: merged,
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'neutral',
      target: 'node20',
      sourcemap: 'linked',
      chunkNames: 'chunks/[name]-[hash]',
      plugins: [directImports({ folder: compiled, doorOf, groups: GROUPS, files: modules })],
      external: ['#*', 'node:*', ...packages.flatMap((name) => [name, `${name}/*`])],
      logLevel: 'warning',
    })
    replaceModules(merged)
  } finally {
    rmSync(merged, { recursive: true, force: true })
  }
  chmodSync(join(root, manifest.bin.lamella), 0o755)
}

/** The module that one of the package's own names stands for. */
function doorOf(specifier) {
  const path = specifier.startsWith('lamella') ? manifest.exports[`.${specifier.slice(7)}`] : undefined
  return path === undefined ? undefined : join(root, path)
}

/** Takes the small modules out of dist/, but for those that stand alone, and puts the merged ones in. */
function replaceModules(merged) {
  const paths = Object.values(manifest.imports).flatMap((conditions) => Object.values(conditions))
  const alone = new Set(paths.map((path) => join(root, path)))
  rmSync(join(compiled, 'chunks'), { recursive: true, force: true })
  for (const file of filesOf(compiled)) {
    const source = sourceOf(file)
    const isModule = /\.js(?:\.map)?$/.test(file)
    if (!existsSync(source) || (isModule && !alone.has(file.replace(/\.map$/, '')))) rmSync(file)
  }
  renameSync(join(merged, 'chunks'), join(compiled, 'chunks'))
  for (const file of filesOf(merged)) renameSync(file, join(compiled, relative(merged, file)))
}

/** The TypeScript that a compiled file, a map or a declaration is of. */
function sourceOf(file) {
  return join(root, 'src', relative(compiled, file)).replace(/(?:\.d)?\.(?:ts|js)(?:\.map)?$/, '.ts')
}

function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}
