// The functions executor: which rule takes which line, what it is given, how it fails.
import { Volume, createFsFromVolume } from 'memfs'
import { describe, expect, test } from 'vitest'
import { BuildError } from '../../src/errors.js'
import type { ExecRequest } from '../../src/builder/executor.js'
import { functionsExecutor } from '../../src/builder/executors/functions.js'
import type { FunctionRule } from '../../src/builder/executors/functions.js'

function requestFor(commandLine: string, changes: Partial<ExecRequest> = {}): ExecRequest {
  const fs = createFsFromVolume(new Volume())
  return {
    view: { fs } as unknown as ExecRequest['view'],
    argv: ['/bin/sh', '-c', commandLine],
    commandLine,
    env: [
      ['PATH', '/bin'],
      ['A', '1'],
      ['A', '2'],
    ],
    cwd: '/',
    user: '',
    mounts: [],
    network: 'default',
    onOutput: () => undefined,
    ...changes,
  }
}

const answer =
  (code: number): FunctionRule['run'] =>
  () =>
    code

describe('which rule takes a line', () => {
  const rules: FunctionRule[] = [
    { match: 'npm install', run: answer(11) },
    { match: /^npm run (\S+)$/g, run: answer(12) },
    { match: (request) => request.argv.includes('--special'), run: answer(13) },
    { match: /npm/, run: answer(14) },
  ]
  test.each([
    { line: 'npm install', want: 11 },
    { line: '  npm \t install ', want: 11 },
    { line: 'npm install left-pad', want: 14 },
    { line: 'npm run build', want: 12 },
    { line: 'npm run', want: 14 },
  ])('$line → $want', async ({ line, want }) => {
    const executor = functionsExecutor(rules)
    expect(await executor.run(requestFor(line))).toEqual({ exitCode: want })
    // A pattern with the g flag keeps its place between calls unless it is put back.
    expect(await executor.run(requestFor(line))).toEqual({ exitCode: want })
  })

  test('a predicate sees the whole request', async () => {
    const request = requestFor('tool --special', { argv: ['tool', '--special'] })
    expect(await functionsExecutor(rules).run(request)).toEqual({ exitCode: 13 })
  })

  test('no rule: EXECUTOR_NO_MATCH lists the patterns', async () => {
    const error = await functionsExecutor(rules)
      .run(requestFor('make all'))
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(BuildError)
    expect(error).toMatchObject({
      code: 'EXECUTOR_NO_MATCH',
      data: {
        commandLine: 'make all',
        patterns: ['"npm install"', '/^npm run (\\S+)$/g', 'a predicate', '/npm/'],
      },
    })
    expect((error as Error).message).toContain('"make all"')
  })
})

test('a function works on the view, sees environment and match, and its output comes in order', async () => {
  const out: string[] = []
  const request = requestFor('write /note ok', {
    onOutput: (stream, bytes) => out.push(`${stream}:${new TextDecoder().decode(bytes)}`),
  })
  const executor = functionsExecutor([
    {
      match: /^write (\S+) (\S+)$/,
      run({ fs, match, environment, stdout, stderr }) {
        fs.writeFileSync(match![1]!, `${match![2]!} ${environment.A}`)
        stdout('one\n')
        stderr('two\n')
        stdout('three\n')
      },
    },
  ])
  expect(await executor.run(request)).toEqual({ exitCode: 0 })
  expect(request.view.fs.readFileSync('/note', 'utf8')).toBe('ok 2')
  expect(out).toEqual(['stdout:one\n', 'stderr:two\n', 'stdout:three\n'])
})

describe('failures', () => {
  test('what a function throws is RUN_FAILED with the cause', async () => {
    const cause = new TypeError('no such thing')
    const executor = functionsExecutor([
      {
        match: 'x',
        run: () => {
          throw cause
        },
      },
    ])
    await expect(executor.run(requestFor('x'))).rejects.toMatchObject({ code: 'RUN_FAILED', cause })
  })

  test('an abort passes unwrapped, before and while running', async () => {
    const controller = new AbortController()
    const executor = functionsExecutor([{ match: 'x', run: () => controller.abort() }])
    const request = requestFor('x', { signal: controller.signal })
    await expect(executor.run(request)).rejects.toMatchObject({ code: 'ABORT_ERR' })
    let called = false
    const never = functionsExecutor([{ match: 'x', run: () => void (called = true) }])
    await expect(never.run(request)).rejects.toMatchObject({ code: 'ABORT_ERR' })
    expect(called).toBe(false)
  })
})
