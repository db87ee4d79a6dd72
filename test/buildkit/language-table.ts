// Reads the tables of questions and answers about the language, and asks a live BuildKit anew when recording.
import { readFileSync, writeFileSync } from 'node:fs'
import { createIgnoreMatcher, parseIgnoreFile, parsePlatform } from '../../src/builder/dockerfile/index.js'
import type { LanguageCase } from './language-oracle.js'

const recording = process.env.LAMELLA_RECORD_BUILDKIT === '1'

interface Table<Row> {
  readonly about: string
  readonly rows: Row[]
}

function fileOf(name: string): URL {
  return new URL(`recorded/language-${name}.json`, import.meta.url)
}

/** Reads a table; asks BuildKit first when recording. One row per line, so that differences can be read. */
export function readTable<Row>(name: string, ask: (rows: readonly Row[]) => Row[]): Row[] {
  const table = JSON.parse(readFileSync(fileOf(name), 'utf8')) as Table<Row>
  if (!recording) return table.rows
  const rows = ask(table.rows)
  const lines = rows.map((row) => JSON.stringify(row)).join(',\n')
  writeFileSync(fileOf(name), `{"about":${JSON.stringify(table.about)},"rows":[\n${lines}\n]}\n`)
  return rows
}

export function textOf(it: LanguageCase): string | Uint8Array {
  return it.bytes === undefined ? it.file : Buffer.from(it.bytes, 'base64')
}

/** What `lintDockerfile` and its kin are told of a case. */
export function optionsOf(it: LanguageCase) {
  const args = new Map(Object.entries(it.args ?? {}))
  const rules = it.files?.['.dockerignore']
  const patterns = rules === undefined ? [] : parseIgnoreFile(rules)
  return {
    buildArgs: args,
    target: it.target,
    check: args.get('BUILDKIT_DOCKERFILE_CHECK'),
    targetPlatform: it.platform === undefined ? undefined : parsePlatform(it.platform),
    buildPlatform: { os: 'linux', architecture: 'amd64' },
    ignore: patterns.length === 0 ? undefined : createIgnoreMatcher(patterns),
  }
}
