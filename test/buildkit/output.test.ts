// What a build writes and prints, beside buildx 0.29 with BuildKit 0.25: archives and layouts byte for byte, folders, files
// about the build, progress, reports of errors, histories of RUN.
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { isRecording } from './compare.js'
import { CASES } from './output-cases.js'
import { runBuildx, runLamella, type OutputRecord } from './output-runs.js'

const FILE = new URL('recorded/outputs.json', import.meta.url)

if (isRecording) {
  const lines: string[] = []
  const ask = async (rows: Iterable<(typeof CASES)[number]>): Promise<void> => {
    for (const it of rows)
      lines[CASES.indexOf(it)] = JSON.stringify({ case: it, buildkit: await runBuildx(it) })
  }
  const pending = CASES.filter(({ progress }) => progress !== true).values()
  await Promise.all([ask(pending), ask(pending), ask(pending), ask(pending)])
  // One after the other: of equal steps in two builds, one is told as done and the other as cached.
  await ask(CASES.filter(({ progress }) => progress === true))
  writeFileSync(FILE, `[\n${lines.join(',\n')}\n]\n`)
}

const recorded = JSON.parse(readFileSync(FILE, 'utf8')) as { case: unknown; buildkit: OutputRecord }[]
const answers = new Map(recorded.map((it) => [(it.case as { name: string }).name, it]))

test('every case is recorded as it stands', () => {
  expect(recorded.map((it) => it.case)).toEqual(JSON.parse(JSON.stringify(CASES)))
  expect(answers.size).toBe(CASES.length)
})

/** Only root can give files away in a context, which is what the owners here come from; none of these does. */
test.concurrent.each(CASES)('$name', async (it) => {
  const { error: ours, ...got } = await runLamella(it)
  const { error: theirs, ...want } = answers.get(it.name)!.buildkit
  expect(got, `ours: ${ours}\ntheirs: ${theirs}`).toEqual(want)
})
