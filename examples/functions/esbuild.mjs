// `esbuild <globs> --outdir=DIR …` over a view: fast-glob finds the sources in the view, the real esbuild transpiles each of
// them under the project's tsconfig.json, the results go back into the view.
import { posix } from 'node:path'
import { transform } from 'esbuild'
import fastGlob from 'fast-glob'
import { Failure, program } from './failure.mjs'

const { dirname, join, relative } = posix
const LOADERS = { '.ts': 'ts', '.mts': 'ts', '.js': 'js', '.mjs': 'js' }
const PASSED_ON = ['format', 'platform', 'target']

export const esbuild = program(async ({ fs, cwd, stdout, signal }, args) => {
  const { flags, patterns } = parseArguments(args)
  const sources = fastGlob.sync(patterns, { fs, cwd, absolute: true }).sort()
  if (sources.length === 0) throw new Failure(`✘ [ERROR] no file matches ${patterns.join(' ')}`)
  const base = commonFolder(sources)
  const options = transformOptions(fs, cwd, flags)
  const outputs = []
  for (const source of sources) {
    signal?.throwIfAborted()
    const code = await transpile(fs.readFileSync(source, 'utf8'), { ...options, ...fileOptions(source, cwd) })
    const target = join(cwd, flags.outdir, relative(base, source)).replace(/\.m?[jt]s$/, '.js')
    fs.mkdirSync(dirname(target), { recursive: true })
    fs.writeFileSync(target, code)
    outputs.push({ path: relative(cwd, target), size: Buffer.byteLength(code) })
  }
  report(stdout, outputs)
})

function parseArguments(args) {
  const flags = {}
  for (const arg of args.filter((word) => word.startsWith('-'))) {
    const flag = /^--([\w-]+)=(.*)$/.exec(arg)
    if (flag === null || !['outdir', ...PASSED_ON].includes(flag[1]))
      throw new Failure(`✘ [ERROR] Invalid build flag: "${arg}"`)
    flags[flag[1]] = flag[2]
  }
  if (flags.outdir === undefined) throw new Failure('✘ [ERROR] --outdir is needed')
  return { flags, patterns: args.filter((word) => !word.startsWith('-')) }
}

/** What esbuild calls outbase: the lowest folder that holds all entry points. */
function commonFolder(paths) {
  let folder = dirname(paths[0])
  while (!paths.every((path) => path.startsWith(`${folder}/`))) folder = dirname(folder)
  return folder
}

function transformOptions(fs, cwd, flags) {
  const tsconfig = join(cwd, 'tsconfig.json')
  const tsconfigRaw = fs.existsSync(tsconfig) ? fs.readFileSync(tsconfig, 'utf8') : '{}'
  return {
    tsconfigRaw,
    ...Object.fromEntries(PASSED_ON.filter((key) => flags[key]).map((key) => [key, flags[key]])),
  }
}

function fileOptions(source, cwd) {
  return { loader: LOADERS[posix.extname(source)] ?? 'ts', sourcefile: relative(cwd, source) }
}

async function transpile(text, options) {
  try {
    return (await transform(text, { ...options, logLevel: 'silent' })).code
  } catch (error) {
    if (error.errors === undefined) throw error
    const lines = error.errors.map(({ text: what, location }) =>
      location === null ? what : `${location.file}:${location.line}:${location.column}: ${what}`,
    )
    throw new Failure(lines.map((line) => `✘ [ERROR] ${line}`).join('\n'))
  }
}

function report(stdout, outputs) {
  const width = Math.max(...outputs.map(({ path }) => path.length))
  for (const { path, size } of outputs) stdout(`  ${path.padEnd(width)}  ${size} B\n`)
  stdout(`\n${outputs.length} files\n`)
}
