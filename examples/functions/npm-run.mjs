// `npm run <script>`: finds the script in package.json and calls the program that it names.
import { posix } from 'node:path'
import { esbuild } from './esbuild.mjs'
import { Failure, program, readJson } from './failure.mjs'
import { prisma } from './prisma.mjs'

const PROGRAMS = { esbuild, prisma }

export const npmRun = program((context) => {
  const { fs, cwd, stdout, match } = context
  const { name, version, scripts = {} } = readJson(fs, posix.join(cwd, 'package.json'))
  const script = match.groups.script
  const line = scripts[script]
  if (line === undefined) throw new Failure(`npm error Missing script: "${script}"`)
  stdout(`\n> ${name}@${version} ${script}\n> ${line}\n\n`)
  const [command, ...args] = splitWords(line)
  const run = PROGRAMS[command]
  if (run === undefined) throw new Failure(`sh: 1: ${command}: not found`, 127)
  return run(context, args)
})

/** Words of a simple command; a script that needs more of a shell than quotes is refused. */
function splitWords(line) {
  if (/[|&;<>$`\\(){}~]/.test(line.replaceAll(/"[^"$`\\]*"|'[^']*'/g, ''))) {
    throw new Failure(`npm error "${line}" needs a shell`, 2)
  }
  const words = line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []
  return words.map((word) => word.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'))
}
