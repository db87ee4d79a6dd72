import { test } from 'vitest'
import { shellExecutor } from '/work/main/src/builder/executors/shell.js'
import { smallRoot, runLine, picture } from '/work/main/test/executors/harness.js'
const lines = (process.env.LINES ?? '').split('\n@@\n')
test('x', async () => {
  const ex = shellExecutor()
  for (const l of lines) {
    const view = smallRoot()
    console.log('$', l)
    try {
      const t = performance.now()
      const r = await runLine(ex, view, l)
      console.log(
        r.exitCode,
        JSON.stringify(r.stdout),
        JSON.stringify(r.stderr),
        (performance.now() - t).toFixed(1) + 'ms',
      )
      console.log(picture(view, 'work'))
      console.log(
        view
          .changes()
          .map((c) => c.kind + c.path)
          .join(' '),
      )
    } catch (e) {
      console.log('THROW', e)
    }
  }
})
