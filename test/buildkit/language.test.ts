// The Dockerfile language beside a live BuildKit 0.25: what it refuses and warns of, outlines and targets. The rows of
// recorded/language-*.json hold a question and its answer; LAMELLA_RECORD_BUILDKIT=1 asks all of them anew (a row without an
// answer is a new one).
import { describe, expect, test } from 'vitest'
import {
  formatOutlineJson,
  formatTargetsJson,
  lintDockerfile,
  outlineDockerfile,
  parseDockerfile,
} from '../../src/builder/dockerfile/index.js'
import { DockerfileError } from '../../src/errors.js'
import { type Answer, callAll, checkAll, type LanguageCase, withoutSources } from './language-oracle.js'
import { optionsOf, readTable, textOf } from './language-table.js'

/** `3`, `3-5`, `1,4`: as the recorder shows the lines of an answer. */
function linesText(lines: readonly number[]): string {
  const isRun = lines.length > 1 && lines.every((line, index) => line === lines[0]! + index)
  return isRun ? `${lines[0]}-${lines.at(-1)}` : lines.join(',')
}

function ours(it: LanguageCase): Answer {
  const { warnings, error } = lintDockerfile(textOf(it), optionsOf(it))
  const told = warnings.map(({ rule, detail, range: { start, end } }) => ({
    rule,
    detail,
    lines: start.line === end.line ? String(start.line) : `${start.line}-${end.line}`,
  }))
  return {
    ...(told.length === 0 ? {} : { warnings: told }),
    ...(error === undefined
      ? {}
      : { error: { message: error.message.toWellFormed(), lines: linesText(error.lines) } }),
  }
}

type Warning = NonNullable<Answer['warnings']>[number]

/** BuildKit takes some things in the order of a Go map, which is random: unset variables of one word, suggestions, rules. */
function withoutChance({ warnings, error }: Answer): Answer {
  const message = error?.message
    .replace(/ \(did you mean .*\?\)$/, ' near')
    .replace(/(?<=^lint violation found for rules: ).*$/, (rules) => rules.split(', ').toSorted().join(', '))
  return {
    ...(warnings === undefined ? {} : { warnings: sortedRuns(warnings) }),
    ...(error === undefined || message === undefined ? {} : { error: { ...error, message } }),
  }
}

/** With the unset variables of one instruction in one order. */
function sortedRuns(warnings: readonly Warning[]): Warning[] {
  const told = warnings.map((each) => ({ ...each, detail: each.detail.replace(/did you mean .*\?/, 'near') }))
  for (let from = 0; from < told.length;) {
    const { rule, lines } = told[from]!
    let to = from + 1
    while (rule.startsWith('Undefined') && told[to]?.rule === rule && told[to]!.lines === lines) to++
    const run = told.slice(from, to).toSorted((a, b) => (a.detail < b.detail ? -1 : 1))
    told.splice(from, to - from, ...run)
    from = to
  }
  return told
}

/** Ours may say more than BuildKit's bare reason: `invalid chmod parameter: 'x', …: invalid syntax`. */
function withoutExcess(answer: Answer, theirs: Answer): Answer {
  const wanted = theirs.error?.message
  if (answer.error === undefined || wanted === undefined || !answer.error.message.endsWith(`: ${wanted}`))
    return answer
  return { ...answer, error: { ...answer.error, message: wanted } }
}

const ELSEWHERE =
  /failed to resolve source metadata|unknown flag: --(?:security|parents)|only supported in Dockerfile frontend/

describe('what is refused and what is warned of', () => {
  interface Row {
    readonly case: LanguageCase
    readonly answer: Answer
  }
  const rows = readTable<Row>('checks', (table) => {
    const answers = checkAll(table.map((row) => row.case))
    // What needs a registry, and flags of the labs front end, say nothing about the language here.
    return table
      .map((row, index) => ({ case: row.case, answer: answers[index]! }))
      .filter(({ answer }) => !ELSEWHERE.test(answer.error?.message ?? ''))
  })

  test('has at least 2,500 rows', () => expect(rows.length).toBeGreaterThanOrEqual(2500))

  test('the check report agrees: rules, messages, lines, order, the error', () => {
    const wrong = rows.flatMap((row) => {
      const theirs = withoutChance(row.answer)
      const got = withoutChance(withoutExcess(ours(row.case), row.answer))
      return JSON.stringify(got) === JSON.stringify(theirs) ? [] : [{ case: row.case, got, theirs }]
    })
    expect(wrong.map((it) => JSON.stringify(it)).slice(0, 5)).toEqual([])
  })
})

describe('outline and targets', () => {
  interface Row {
    readonly case: LanguageCase
    readonly outline: unknown
    readonly targets: unknown
  }
  const rows = readTable<Row>('outlines', (table) => {
    const cases = table.map((row) => row.case)
    const outlines = callAll(cases, 'outline')
    const targets = callAll(cases, 'targets')
    return table.map((row, index) => ({
      case: row.case,
      outline: withoutSources(outlines[index]!),
      targets: withoutSources(targets[index]!),
    }))
  })

  /** The parsed answer, without the text of the file; of an error, nothing but that it is one. */
  function answerOf(ask: () => string): unknown {
    try {
      const { sources: _, ...rest } = JSON.parse(ask()) as Record<string, unknown>
      return rest
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      return 'refused'
    }
  }

  test.each(rows.map((row, index) => ({ index, ...row })))('$index $case.file', (row) => {
    const it = row.case
    expect(answerOf(() => formatOutlineJson(outlineDockerfile(textOf(it), optionsOf(it))))).toEqual(
      row.outline,
    )
    expect(answerOf(() => formatTargetsJson(parseDockerfile(textOf(it))))).toEqual(row.targets)
  })
})
