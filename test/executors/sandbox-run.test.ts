// A run from its start to its end: what it costs nothing to see, and what keeps it from beginning.
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { markUpper } from '../../src/builder/executors/sandbox/upper.js'
import { treeAfter } from '../../src/builder/index.js'
import { UnionView } from '../../src/unionfs/index.js'
import { removeSandboxFolders, requestFor } from './harness.js'
import { mountsIn, sandboxOver, sandboxTest } from './sandbox-harness.js'

afterAll(removeSandboxFolders)

describe('an upper directory was touched', () => {
  const cases: readonly (readonly [what: string, change: (upper: string) => void])[] = [
    ['something is in it', (upper) => writeFileSync(join(upper, 'new'), '')],
    // As with setxattr(2), nothing but the time of the last change tells.
    ['its inode was changed to what it was', (upper) => chmodSync(upper, 0o755)],
  ]
  test.each(cases)('when %s', (_, change) => {
    const upper = join(mkdtempSync(join(tmpdir(), 'lamella-upper-')), 'upper')
    mkdirSync(upper, 0o755)
    const look = markUpper(upper)
    change(upper)
    expect(look()).toBe(true)
    rmSync(join(upper, '..'), { recursive: true })
  })

  sandboxTest('not by a RUN that only reads: the tree is the same one', async () => {
    const { executor, root, layers } = await sandboxOver()
    const request = requestFor(UnionView.open(root), 'cat /etc/passwd >/dev/null; ls -R / >/dev/null', {
      layers,
    })
    expect(treeAfter(request, await executor.run(request)).root).toBe(root.root)
  })
})

describe('what keeps a run from beginning', () => {
  sandboxTest('is an error with its reason, and no exit code of the command', async () => {
    const { run, folder } = await sandboxOver()
    await run('true')
    const layers = join(folder, 'layers')
    const [name] = readdirSync(layers)
    rmSync(join(layers, name!), { recursive: true })
    writeFileSync(join(layers, name!), 'no directory')
    await expect(run('exit 125')).rejects.toMatchObject({
      code: 'EXECUTOR_MISSING',
      data: { executor: 'sandbox', reason: expect.stringMatching(/mount/) as string },
    })
    expect(mountsIn(folder)).toEqual([])
    expect(readdirSync(join(folder, 'runs'))).toEqual([])
  })

  sandboxTest('is not a command that ends with 125', async () => {
    const { run } = await sandboxOver()
    expect(await run('echo why >&2; exit 125')).toEqual({ exitCode: 125, stdout: '', stderr: 'why\n' })
  })
})
