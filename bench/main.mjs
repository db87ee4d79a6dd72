// `npm run bench [-- GROUP …] [--quick] [--json FILE] [--list]`: runs the cases of bench/cases side by side in one process
// each, prints a table, and writes the raw results with machine, versions and command to bench/runs/.
//
// A case module exports `group` and `async function* run({ quick, files })` that yields rows
//   { name, question, n, p50Ns, p99Ns, minNs?, bytes?, baseline?, ratio?, target?, check: true }
// `check` is true only when the case compared its result with what must come out: work that is not equal is not timed.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(here)
const runs = join(here, 'runs')

const USAGE = `Usage: npm run bench -- [GROUP …] [options]

Runs the benchmarks (all groups without names) and prints a table per group. Ratios are what to read: every row and its
baseline run in the same process, in turn. p50 and p99 are of n rounds; with few rounds p99 is the slowest.

Options:
  --quick      smaller inputs and fewer rounds; for a first look, not for quoting
  --files N,…  contexts of so many files, for the groups that build contexts: rebuild, peers
  --json FILE  write the results there too
  --no-save    do not write bench/runs/<group>-<date>.json
  --list       name the groups and end

Results are saved after each row, as <group>-<date>.partial.json until the group is whole. Ctrl-C ends after the row that is
being measured, with what there is; a second one ends at once.`

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  files: { type: 'string' },
  json: { type: 'string' },
  list: { type: 'boolean', default: false },
  'no-save': { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
}

function refuse(message) {
  console.error(`bench: ${message}; --help says what there is`)
  process.exit(2)
}

function readArgs() {
  try {
    return parseArgs({ allowPositionals: true, options: OPTIONS })
  } catch (error) {
    return refuse(error.message)
  }
}

const { values, positionals } = readArgs()
if (values.help) {
  console.log(USAGE)
  process.exit(0)
}

const cases = readdirSync(join(here, 'cases')).filter((name) => name.endsWith('.mjs'))
const modules = await Promise.all(cases.map((name) => import(pathToFileURL(join(here, 'cases', name)).href)))
const groups = [...new Set(modules.map(({ group }) => group))].toSorted()

if (values.list) {
  console.log(groups.join('\n'))
  process.exit(0)
}
const unknown = positionals.filter((name) => !groups.includes(name))
if (unknown.length > 0) refuse(`unknown group ${unknown.join(', ')}; there are ${groups.join(', ')}`)
const files = values.files?.split(',').map(Number)
if (files?.some((count) => !Number.isInteger(count) || count < 1)) refuse(`--files ${values.files}`)
if (values.json !== undefined) {
  try {
    // Before the hours, not after them.
    writeFileSync(values.json, '', { flag: 'a' })
  } catch (error) {
    refuse(`--json: ${error.message}`)
  }
}

let isStopped = false
process.on('SIGINT', () => {
  if (isStopped) process.exit(130)
  isStopped = true
  console.error('bench: ending after this row')
})

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout?.trim()
const commit = git('rev-parse', '--short', 'HEAD')

function machine() {
  return {
    node: process.version,
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    loadAverage: loadavg(),
    versions: { ...manifest.dependencies, ...manifest.devDependencies },
    commit,
    command: ['npm', 'run', 'bench', '--', ...process.argv.slice(2)].join(' '),
    date: new Date().toISOString(),
  }
}

function formatNs(ns) {
  if (ns === undefined) return ''
  if (ns < 1e3) return `${ns.toFixed(0)} ns`
  if (ns < 1e6) return `${(ns / 1e3).toFixed(2)} us`
  if (ns < 1e9) return `${(ns / 1e6).toFixed(2)} ms`
  return `${(ns / 1e9).toFixed(2)} s`
}

function verdict({ ratio, target }) {
  if (target === undefined || ratio === undefined) return ''
  const [, sign, bound] = /^(<=|>=|<|>)\s*([\d.]+)/.exec(String(target)) ?? []
  if (sign === undefined) return ''
  const ok = sign.startsWith('<') ? ratio <= Number(bound) : ratio >= Number(bound)
  return ok ? 'reached' : 'MISSED'
}

function printTable(rows) {
  const header = ['case', 'n', 'min', 'p50', 'p99', 'baseline', 'ratio', 'target', '']
  const cells = rows.map((row) => [
    row.name,
    String(row.n),
    formatNs(row.minNs),
    formatNs(row.p50Ns),
    formatNs(row.p99Ns),
    row.baseline ?? '',
    row.ratio === undefined ? '' : row.ratio.toFixed(2),
    row.target === undefined ? '' : String(row.target),
    row.check === true ? verdict(row) : 'UNCHECKED',
  ])
  const widths = header.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i].length)))
  for (const row of [header, ...cells]) {
    console.log(
      row
        .map((cell, i) => (i >= 1 && i <= 4 ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
        .join('  ')
        .trimEnd(),
    )
  }
}

/** Writes what there is of a group; the file of an earlier whole run is replaced only by a whole one. */
function saver(group) {
  if (values['no-save']) return { row() {}, whole() {} }
  mkdirSync(runs, { recursive: true })
  const name = `${group}-${new Date().toISOString().slice(0, 10)}${values.quick ? '-quick' : ''}`
  const partial = join(runs, `${name}.partial.json`)
  return {
    row(rows) {
      writeFileSync(`${partial}.tmp`, JSON.stringify({ ...machine(), rows }, undefined, 2) + '\n')
      renameSync(`${partial}.tmp`, partial)
    },
    whole: (rows) =>
      rows.length > 0 ? renameSync(partial, join(runs, `${name}.json`)) : rmSync(partial, { force: true }),
  }
}

/** Rows of a group, as far as it came. A case that is left early tidies up in its `finally`. */
async function measure(group, save) {
  const rows = []
  try {
    for (const module of modules.filter((entry) => entry.group === group)) {
      for await (const row of module.run({ quick: values.quick, files })) {
        rows.push(row)
        process.stderr.write(`  ${row.name}: ${formatNs(row.p50Ns)}\n`)
        save.row(rows)
        if (isStopped) return rows
      }
    }
  } catch (error) {
    // The programs that a case runs get the same Ctrl-C.
    if (!isStopped) throw error
  }
  return rows
}

const results = {}
for (const group of groups) {
  if (positionals.length > 0 && !positionals.includes(group)) continue
  console.log(`\n${group}`)
  const save = saver(group)
  const rows = await measure(group, save)
  printTable(rows)
  results[group] = rows
  if (isStopped) break
  save.whole(rows)
}
if (values.json !== undefined) {
  writeFileSync(values.json, JSON.stringify({ ...machine(), results }, undefined, 2) + '\n')
}
const all = Object.values(results).flat()
if (isStopped) process.exitCode = 130
else if (all.some((row) => row.check !== true)) process.exitCode = 1
