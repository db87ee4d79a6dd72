// npm run demo: a real project built with two Dockerfiles, cold, unchanged, and after two kinds of change; shows what came
// from the cache and checks that against what must be true. Ends with 1 when anything differs.
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { functionsExecutor, sandboxExecutor } from 'lamella/builder'
import { openDiskStore } from 'lamella/store'
import { BASE, ensureBaseImage } from './demo/base-image.mjs'
import { makeRealBase } from './demo/real-base.mjs'
import { runScenario, withOwnCache } from './demo/run.mjs'
import { DOCKERFILES, SCENARIOS } from './demo/scenarios.mjs'
import { checkService } from './demo/service.mjs'
import { createPainter, formatTable, formatTime } from './demo/table.mjs'
import { nodeFunctions } from './functions/index.mjs'

const HELP = `Usage: npm run demo -- [options]

Builds examples/node-app with its naive and its optimised Dockerfile: cold, unchanged, after a change of one source
file (case 1) and after a change of package.json (case 2), and checks what was taken from the cache.

Options:
  --executor E  functions (default), or sandbox: the RUN lines run for real, in a base made of this machine's Node and
                busybox (Linux; needs bubblewrap and busybox-static)
  --store DIR   use this store and keep it; default: a new one in the temporary folder
  --keep        keep the copy of the project as well (the store is kept in any case)
  --rm          remove the store that was made in the temporary folder
  --verbose     show what the RUN lines print
  --json        print the results as JSON
  --help        show this

Exit code: 0 when every row is as it must be and the built service answers, 1 otherwise, 2 for a wrong call.
`

function readOptions() {
  const options = {
    executor: { type: 'string', default: 'functions' },
    store: { type: 'string' },
    keep: { type: 'boolean', default: false },
    rm: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  }
  try {
    const { values } = parseArgs({ options })
    if (!['functions', 'sandbox'].includes(values.executor))
      throw new Error(`--executor ${values.executor}: unknown`)
    return values
  } catch (error) {
    process.stderr.write(`${error.message}\n\n${HELP}`)
    process.exit(2)
  }
}

const examples = dirname(fileURLToPath(import.meta.url))
/** What a checkout of the project may hold and its repository does not. */
const LEFT_OUT = new Set(['node_modules', 'dist'])

async function main() {
  const options = readOptions()
  if (options.help) return void process.stdout.write(HELP)
  const say = options.json ? () => {} : (text = '') => process.stdout.write(`${text}\n`)
  const paint = createPainter(process.stdout)
  const scratch = mkdtempSync(join(tmpdir(), 'lamella-demo-'))
  const project = join(scratch, 'node-app')
  cpSync(join(examples, 'node-app'), project, {
    recursive: true,
    filter: (path) => !LEFT_OUT.has(path.slice(join(examples, 'node-app').length + 1)),
  })
  const folder = resolve(options.store ?? join(scratch, 'store'))
  const store = await openDiskStore(folder, { create: true })
  try {
    await prepareBase(store, options, say)
    const reports = await runAll(store, project, options, (report) => say(formatTable(report, paint)))
    const services = await askServices(store, reports, say, paint)
    const ok = reports.every(({ asExpected }) => asExpected) && services.every((service) => service.ok)
    say(summary(reports, ok, paint))
    if (options.json) printJson(folder, options.executor, reports, services, ok)
    else sayWhere(say, folder, options, scratch)
    process.exitCode = ok ? 0 : 1
  } finally {
    await store.close()
    if (!options.keep) rmSync(project, { recursive: true, force: true })
    if (options.rm || options.store !== undefined) {
      if (!options.keep || options.rm) rmSync(scratch, { recursive: true, force: true })
    }
  }
}

async function prepareBase(store, { executor }, say) {
  if (executor === 'sandbox') {
    await makeRealBase(store)
    say(`${BASE} was made of this machine's own Node, npm, esbuild and busybox.`)
    return say(
      'RUN is carried out by the executor "sandbox": the programs themselves, in namespaces of their own.\n',
    )
  }
  const made = await ensureBaseImage(store)
  say(
    made
      ? `${BASE} is not in the store: a small base image was made under that name.`
      : `${BASE} is taken from the store.`,
  )
  say(
    'RUN is carried out by the executor "functions" (examples/functions): npm, esbuild and prisma in process.\n',
  )
}

async function runAll(store, project, { verbose, executor: name }, show) {
  const executor = name === 'sandbox' ? sandboxExecutor({ store }) : functionsExecutor(nodeFunctions)
  const onEvent = (event) => {
    if (verbose && event.kind === 'step-output') process.stderr.write(event.bytes)
  }
  const token = Date.now().toString(36)
  const stores = new Map(DOCKERFILES.map(({ name }) => [name, withOwnCache(store, `demo-${token}-${name}`)]))
  const reports = []
  for (const scenario of SCENARIOS) {
    scenario.change(project, token)
    for (const dockerfile of DOCKERFILES) {
      const report = await runScenario({
        store: stores.get(dockerfile.name),
        project,
        executor,
        dockerfile,
        scenario,
        onEvent,
      })
      checkImage(report, reports)
      reports.push(report)
      show(report)
    }
  }
  return reports
}

/** An unchanged build must give the image that was there before, a changed one another. */
function checkImage(report, earlier) {
  const before = earlier.findLast(({ dockerfile }) => dockerfile === report.dockerfile)
  if (before === undefined) return
  report.sameImage = report.image === before.image
  if (report.sameImage !== (report.scenario === 'unchanged')) report.asExpected = false
}

/** Starts what was built last from each Dockerfile. */
async function askServices(store, reports, say, paint) {
  const services = []
  for (const { name } of DOCKERFILES) {
    const last = reports.findLast(({ dockerfile }) => dockerfile === name)
    const { ok, lines } = await checkService(store, last.layers)
    services.push({ dockerfile: name, ok, lines })
    const text = `parcel-desk:${name}: the service of the image was started and asked ${lines.length} questions: `
    say(text + (ok ? paint('green', 'all answers are right') : paint('red', `\n${lines.join('\n')}`)))
  }
  return services
}

function summary(reports, ok, paint) {
  const lines = ['']
  for (const { name } of DOCKERFILES) {
    const times = reports
      .filter(({ dockerfile }) => dockerfile === name)
      .map(({ scenario, milliseconds }) => `${scenario} ${formatTime(milliseconds)}`)
    lines.push(`${name.padEnd(10)} ${times.join('   ')}`)
  }
  lines.push(
    '',
    ok ? paint('green', 'All tables are as they must be.') : paint('red', 'Something is not as it must be.'),
  )
  return lines.join('\n')
}

function printJson(store, executor, reports, services, ok) {
  process.stdout.write(`${JSON.stringify({ ok, store, executor, reports, services }, null, 2)}\n`)
}

function sayWhere(say, folder, options, scratch) {
  if (options.keep) say(`\nThe copy of the project is kept in ${join(scratch, 'node-app')}`)
  if (options.rm && options.store === undefined) return
  say(`\nThe store is ${folder}, an OCI image layout. Look at it with:`)
  say(`  npx lamella images --store ${folder}`)
  say(`  npx lamella history --store ${folder} parcel-desk:optimised`)
  say(`  npx lamella ls --store ${folder} parcel-desk:optimised '/usr/src/app/dist/**'`)
  say(`  skopeo inspect oci:${folder}:parcel-desk:optimised`)
}

await main()
