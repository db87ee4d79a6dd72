// An esbuild plugin that decides what chunks hold. esbuild cuts them by what reaches a module, and there are two things to
// be said about that:
// - A name that comes through a room's front door (`index.js`, all `export … from`) is imported from the module that has it.
//   Otherwise a command that takes one function of a room would load the room.
// - The modules of a group stay together: whoever needs one of them loads them all. Each file costs 0.3 ms, and forty
//   commands would cut what they share into as many pieces.
//
// Works on what tsc writes, which is regular: named imports of one statement each, single quotes.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const EXPORTS = /export\s*\{([^}]*)\}\s*from\s*'([^']+)';/g
const REEXPORTS = /^export\s*\{([^}]*)\}\s*from\s*'([^']+)';/gm
const IMPORTS = /^import\s*\{([^}]*)\}\s*from\s*'([^']+)';/gm
const DYNAMIC_IMPORTS = /const \{([^}]*)\} = await import\('([^']+)'\)/g
const COMMENTS = /\/\*[\s\S]*?\*\/|\/\/.*$/gm
const STATIC = /^(?:import|export)\s(?:[^'"]*?\sfrom\s)?'([^']+)';/gm
const NAMESPACE = 'names'
const GROUP = 'group'

/**
 * @param folder   absolute path of the compiled modules; others are left alone
 * @param doorOf   absolute path of the front door that the package's own name stands for: `lamella/store`
 * @param groups   name → modules, relative to the folder, that are its roots; all that they import statically is in it, but
 *                 for what an earlier group has
 * @param files    absolute paths of all modules
 */
export function directImports({ folder, doorOf, groups, files }) {
  const doors = new Map()
  /** Module → group. */
  const groupOf = new Map()
  /** Group → alias → `export` line of what others need of it. */
  const exported = new Map()

  /** Name → module and name there, of a front door; `undefined` for any other module. */
  function exportsOf(file) {
    if (!doors.has(file)) doors.set(file, readExports(file))
    return doors.get(file)
  }

  function locate(name, file) {
    const exports = exportsOf(file)
    if (exports === undefined) return { name, file }
    const found = exports.get(name)
    if (found === undefined) throw new Error(`${file} does not export ${name}`)
    return locate(found.name, found.file)
  }

  /** The front door that an import specifier leads to. */
  function doorAt(specifier, importer) {
    const file = specifier.startsWith('.') ? resolve(dirname(importer), specifier) : doorOf(specifier)
    return file !== undefined && exportsOf(file) !== undefined ? file : undefined
  }

  /** What a module imports statically, doors seen through. */
  function importsOf(path) {
    const text = readFileSync(path, 'utf8')
    const out = []
    for (const [, names, specifier] of text.matchAll(IMPORTS)) {
      const door = doorAt(specifier, path)
      if (door !== undefined) out.push(...listOf(names, /\s+as\s+/).map(([name]) => locate(name, door).file))
    }
    for (const [, specifier] of text.matchAll(STATIC)) {
      const file = resolve(dirname(path), specifier)
      if (specifier.startsWith('.') && exportsOf(file) === undefined) out.push(file)
    }
    return out
  }

  function gather() {
    for (const [group, roots] of Object.entries(groups)) {
      exported.set(group, new Map())
      const todo = roots.map((path) => join(folder, path))
      for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
        if (groupOf.has(file)) continue
        groupOf.set(file, group)
        todo.push(...importsOf(file))
      }
    }
    for (const file of files) rewrite(readFileSync(file, 'utf8'), file)
  }

  /** Where a module takes a name from: the module that has it, or the group that this is in. */
  function sourceOf({ name, file }, importer) {
    const group = groupOf.get(file)
    if (group === undefined || groupOf.get(importer) === group) return { name, from: file }
    const alias = `${relative(folder, file).replace(/\W/g, '_')}_${name}`
    exported.get(group).set(alias, `export { ${name} as ${alias} } from ${JSON.stringify(file)};`)
    return { name: alias, from: `${GROUP}:${group}` }
  }

  function rewrite(text, path) {
    const statements = (keyword) => (statement, names, specifier) => {
      const isRelative = specifier.startsWith('.')
      const target = doorAt(specifier, path) ?? (isRelative ? resolve(dirname(path), specifier) : undefined)
      if (target === undefined) return statement
      const parts = listOf(names, /\s+as\s+/).map(([name, local]) => {
        const found = sourceOf(locate(name, target), path)
        return `${keyword} { ${found.name} as ${local} } from ${JSON.stringify(found.from)};`
      })
      return parts.join(' ')
    }
    const direct = text.replace(IMPORTS, statements('import')).replace(REEXPORTS, statements('export'))
    return direct.replace(DYNAMIC_IMPORTS, (statement, names, specifier) => {
      const door = doorAt(specifier, path)
      if (door === undefined) return statement
      const wanted = listOf(names, /\s*:\s*/).map(([name]) => name)
      return `const {${names}} = await import(${JSON.stringify(`${NAMESPACE}:${wanted.join()}@${door}`)})`
    })
  }

  return {
    name: 'direct-imports',
    setup(build) {
      gather()
      build.onResolve({ filter: new RegExp(`^${NAMESPACE}:`) }, ({ path }) => ({
        path: path.slice(NAMESPACE.length + 1),
        namespace: NAMESPACE,
        sideEffects: false,
      }))
      // What a dynamic import takes out of a room, as a module of its own.
      build.onLoad({ filter: /./, namespace: NAMESPACE }, ({ path }) => {
        const at = path.indexOf('@')
        const lines = path
          .slice(0, at)
          .split(',')
          .map((name) => {
            const found = sourceOf(locate(name, path.slice(at + 1)), undefined)
            return `export { ${found.name} as ${name} } from ${JSON.stringify(found.from)}`
          })
        return { contents: lines.join('\n'), loader: 'js', resolveDir: folder }
      })
      build.onResolve({ filter: new RegExp(`^${GROUP}:`) }, ({ path }) => ({
        path: path.slice(GROUP.length + 1),
        namespace: GROUP,
        sideEffects: false,
      }))
      build.onLoad({ filter: /./, namespace: GROUP }, ({ path }) => ({
        contents: [...exported.get(path).values()].join('\n'),
        loader: 'js',
        resolveDir: folder,
      }))
      build.onLoad({ filter: /\.js$/ }, ({ path }) => {
        if (!path.startsWith(join(folder, '/'))) return undefined
        return {
          contents: rewrite(readFileSync(path, 'utf8'), path),
          loader: 'js',
          resolveDir: dirname(path),
        }
      })
    },
  }
}

function readExports(file) {
  if (!file.endsWith('/index.js') || !existsSync(file)) return undefined
  const text = readFileSync(file, 'utf8').replace(COMMENTS, '')
  if (text.replace(EXPORTS, '').trim() !== '') return undefined
  const exports = new Map()
  for (const [, names, specifier] of text.matchAll(EXPORTS)) {
    for (const [name, exported] of listOf(names, /\s+as\s+/)) {
      exports.set(exported, { name, file: resolve(dirname(file), specifier) })
    }
  }
  return exports
}

/** `a, b as c` → [[a, a], [b, c]]. */
function listOf(names, separator) {
  return names
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [name, local = name] = part.split(separator)
      return [name, local]
    })
}
