// `prisma generate` over a view: loads the parser and the generator from the package that npm installed in the view, and
// writes the client that they make. Like npx, it knows no prisma where none is installed.
import { posix } from 'node:path'
import { Failure, program } from './failure.mjs'

const { dirname, join } = posix

export const prisma = program(async ({ fs, cwd, stdout }, [command]) => {
  const bin = join(cwd, 'node_modules/.bin/prisma')
  if (!fs.existsSync(bin)) throw new Failure('npm error could not determine executable to run: prisma', 127)
  if (command !== 'generate') throw new Failure('usage: prisma generate', 2)
  const lib = join(dirname(dirname(fs.realpathSync(bin))), 'lib')
  const { parseSchema, SCHEMA_PLACES } = await importFrom(fs, join(lib, 'schema.js'))
  const { generateClient } = await importFrom(fs, join(lib, 'generate.js'))
  const place = SCHEMA_PLACES.find((path) => fs.existsSync(join(cwd, path)))
  if (place === undefined) throw new Failure(`no schema found; looked for ${SCHEMA_PLACES.join(', ')}`)
  const files = generate(place, fs.readFileSync(join(cwd, place), 'utf8'), parseSchema, generateClient)
  for (const [path, text] of files) {
    const target = join(cwd, 'node_modules', path)
    fs.mkdirSync(dirname(target), { recursive: true })
    fs.writeFileSync(target, text)
  }
  stdout(`Generated @desk/client from ${place} (${files.size} files)\n`)
})

function generate(place, schema, parseSchema, generateClient) {
  try {
    return generateClient(parseSchema(schema))
  } catch (error) {
    throw new Failure(`${place}: ${error.message}`)
  }
}

/** A module of the view that imports nothing, as Node loads it. */
function importFrom(fs, path) {
  return import(`data:text/javascript;base64,${Buffer.from(fs.readFileSync(path)).toString('base64')}`)
}
