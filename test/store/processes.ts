// Starts worker.ts or build-worker.ts as processes of its own. It is bundled once: a process that compiles first is too slow to kill by the
// hundred.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { WorkerLine } from './worker.js'

const root = resolve(fileURLToPath(import.meta.url), '../../..')

export interface WorkerProgram {
  readonly file: string
  remove(): void
}

export async function buildWorker(name: 'worker' | 'build-worker' = 'worker'): Promise<WorkerProgram> {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-worker-'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const file = join(folder, 'worker.mjs')
  await build({
    entryPoints: [join(root, `test/store/${name}.ts`)],
    outfile: file,
    bundle: true,
    platform: 'node',
    target: 'node20',
    minify: true,
    format: 'esm',
    packages: 'external',
    alias: {
      '#platform': join(root, 'src/platform/node.ts'),
      '#unionfs-host': join(root, 'src/unionfs/host-node.ts'),
    },
    logLevel: 'error',
  })
  return { file, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

export interface WorkerRun<Line> {
  readonly child: ChildProcess
  /** Fulfilled when it has said so many lines, or ended. */
  said(lines: number): Promise<void>
  /** What it said, complete lines only, and how it ended. */
  readonly ended: Promise<{
    readonly lines: readonly Line[]
    readonly signal: NodeJS.Signals | null
    readonly code: number | null
    readonly stderr: string
  }>
}

export function startWorker<Line = WorkerLine>(
  program: WorkerProgram,
  args: readonly string[],
): WorkerRun<Line> {
  const child = spawn(process.execPath, [program.file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let stderr = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => void (stderr += text))
  const waiting: { readonly lines: number; readonly done: () => void }[] = []
  let count = 0
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    out += text
    count += text.split('\n').length - 1
    for (const { lines, done } of waiting) if (count >= lines) done()
  })
  child.on('close', () => waiting.forEach(({ done }) => done()))
  const said = (lines: number) =>
    new Promise<void>((done) => {
      if (count >= lines || child.exitCode !== null) done()
      else waiting.push({ lines, done })
    })
  const ended = new Promise<Awaited<WorkerRun<Line>['ended']>>((done) => {
    child.on('close', (code, signal) => {
      const whole = out.slice(0, out.lastIndexOf('\n') + 1)
      const lines = whole.split('\n').filter(Boolean)
      done({ lines: lines.map((line) => JSON.parse(line) as Line), signal, code, stderr })
    })
  })
  return { child, said, ended }
}
