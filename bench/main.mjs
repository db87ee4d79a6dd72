// `npm run bench [-- GROUP …] [--quick] [--json FILE] [--list]`: runs the cases of bench/cases side by side in one process
// each, prints a table, and writes the raw results with machine, versions and command to bench/runs/.
//
// A case module exports `group` and `async function* run({ quick })` that yields rows
//   { name, question, n, p50Ns, p99Ns, bytes?, baseline?, ratio?, target?, check: true }
// `check` is true only when the case compared its result with what must come out: work that is not equal is not timed.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(here)

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    list: { type: 'boolean', default: false },
    'no-save': { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

if (values.help) {
  console.log(`Usage: npm run bench -- [GROUP …] [options]

Runs the benchmarks (all groups without names) and prints a table per group. Ratios are what to read: every row and its
baseline run in the same process, one after the other.

Options:
  --quick      smaller inputs and fewer rounds; for a first look, not for quoting
  --json FILE  write the results there too
  --no-save    do not write bench/runs/<group>-<date>.json
  --list       name the groups and end`)
  process.exit(0)
}

const files = readdirSync(join(here, 'cases')).filter((name) => name.endsWith('.mjs'))
const modules = await Promise.all(files.map((name) => import(pathToFileURL(join(here, 'cases', name)).href)))
const groups = [...new Set(modules.map(({ group }) => group))].toSorted()

if (values.list) {
  console.log(groups.join('\n'))
  process.exit(0)
}
const unknown = positionals.filter((name) => !groups.includes(name))
if (unknown.length > 0) {
  console.error(`unknown group ${unknown.join(', ')}; there are ${groups.join(', ')}`)
  process.exit(2)
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], {
  cwd: root,
  encoding: 'utf8',
}).stdout?.trim()

function machine() {
  return {
    node: process.version,
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryBytes: totalmem(),
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
  const header = ['case', 'n', 'p50', 'p99', 'baseline', 'ratio', 'target', '']
  const cells = rows.map((row) => [
    row.name,
    String(row.n),
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
        .map((cell, i) => (i >= 1 && i <= 3 ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
        .join('  ')
        .trimEnd(),
    )
  }
}

const results = {}
for (const group of groups.filter((name) => positionals.length === 0 || positionals.includes(name))) {
  const rows = []
  console.log(`\n${group}`)
  for (const module of modules.filter((entry) => entry.group === group)) {
    for await (const row of module.run({ quick: values.quick })) {
      rows.push(row)
      process.stderr.write(`  ${row.name}: ${formatNs(row.p50Ns)}\n`)
    }
  }
  printTable(rows)
  results[group] = rows
  if (!values['no-save']) {
    mkdirSync(join(here, 'runs'), { recursive: true })
    const name = `${group}-${new Date().toISOString().slice(0, 10)}${values.quick ? '-quick' : ''}.json`
    writeFileSync(join(here, 'runs', name), JSON.stringify({ ...machine(), rows }, undefined, 2) + '\n')
  }
}
if (values.json) writeFileSync(values.json, JSON.stringify({ ...machine(), results }, undefined, 2) + '\n')
if (
  Object.values(results)
    .flat()
    .some((row) => row.check !== true)
)
  process.exitCode = 1
