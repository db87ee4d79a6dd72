// What does it cost to start? Whole processes, in turn, so that a drift of the machine's speed meets all of them.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spread } from '../timing.mjs'

export const group = 'startup'

const bin = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')

function timed(args, isRight) {
  const start = process.hrtime.bigint()
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  const ns = Number(process.hrtime.bigint() - start)
  if (status !== 0 || !isRight(stdout, stderr))
    throw new Error(`node ${args.join(' ')}: ${status}\n${stdout}${stderr}`)
  return ns
}

export async function* run({ quick }) {
  const scratch = mkdtempSync(join(tmpdir(), 'lamella-bench-startup-'))
  const context = join(scratch, 'context')
  const store = join(scratch, 'store')
  mkdirSync(context)
  for (let i = 0; i < 10; i++) writeFileSync(join(context, `file${i}`), `content ${i}\n`)
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nWORKDIR /app\nCOPY . .\nCMD ["/app/file0"]\n')
  const build = [bin, 'build', '--store', store, '--progress', 'plain', context]
  try {
    timed(build, () => true)
    const cases = {
      'node -e 0': { args: ['-e', '0'], isRight: () => true },
      'lamella --version': {
        args: [bin, '--version'],
        isRight: (out) => out.startsWith('lamella '),
        target: '<= 1.5',
      },
      'lamella build, cached, 10 files': {
        args: build,
        isRight: (_, log) => log.includes('CACHED') && !/\] COPY[^\n]*\n#\d+ DONE/.test(log),
        target: '<= 2.2',
      },
    }
    const times = Object.fromEntries(Object.keys(cases).map((name) => [name, []]))
    const rounds = quick ? 7 : 31
    for (let i = 0; i < rounds; i++) {
      for (const [name, { args, isRight }] of Object.entries(cases)) times[name].push(timed(args, isRight))
    }
    const base = spread(times['node -e 0']).p50Ns
    for (const [name, { target }] of Object.entries(cases)) {
      const own = spread(times[name])
      yield {
        name,
        question: 'how long does the whole process take?',
        ...own,
        ...(target === undefined ? {} : { baseline: 'node -e 0', ratio: own.p50Ns / base, target }),
        check: true,
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
