// fs.glob, as Node 22 has it, by fast-glob over the view.
import { defer, loadGlob } from '#unionfs-host'
import type { NodeFs } from '../host-contract.js'
import { checkFunction } from './arguments.js'
import { invalidType, notImplemented } from './errno.js'
import { Dirent } from './stats.js'

interface GlobOptions {
  readonly cwd?: string
  readonly exclude?: ((path: string) => boolean) | readonly string[]
  readonly withFileTypes?: boolean
}

type Patterns = string | readonly string[]

export function globMethods(fs: NodeFs) {
  const globSync = (patterns: Patterns, options: GlobOptions = {}): (string | Dirent)[] => {
    const list = typeof patterns === 'string' ? [patterns] : patterns
    if (!Array.isArray(list) || !list.every((pattern) => typeof pattern === 'string')) {
      throw invalidType('patterns', 'of type string or an instance of Array', patterns)
    }
    const glob = loadGlob()
    if (glob === undefined) throw notImplemented('glob')
    const { cwd = '/', exclude, withFileTypes = false } = options
    const found = glob.globSync(list, {
      cwd,
      fs: fs as never,
      dot: false,
      onlyFiles: false,
      followSymbolicLinks: false,
      ignore: Array.isArray(exclude) ? [...exclude] : [],
    })
    const kept = typeof exclude === 'function' ? found.filter((path) => !exclude(path)) : found
    return withFileTypes ? kept.map((path) => direntAt(fs, cwd, path)) : kept
  }
  return {
    globSync,
    glob(patterns: Patterns, given: unknown, callback?: unknown): void {
      const [options, done] = typeof given === 'function' ? [{}, given] : [given as GlobOptions, callback]
      checkFunction(done, 'callback')
      const answer = done as (error: unknown, paths?: unknown) => void
      try {
        const paths = globSync(patterns, options)
        defer(() => answer(null, paths))
      } catch (error) {
        defer(() => answer(error))
      }
    },
    async *globAsync(patterns: Patterns, options?: GlobOptions): AsyncGenerator<string | Dirent> {
      yield* globSync(patterns, options)
    },
  }
}

function direntAt(fs: NodeFs, cwd: string, path: string): Dirent {
  const at = path.lastIndexOf('/')
  const parent = at === -1 ? cwd : `${cwd === '/' ? '' : cwd}/${path.slice(0, at)}`
  const name = path.slice(at + 1)
  const entry = fs.readdirSync(parent, { withFileTypes: true }).find((candidate) => candidate.name === name)
  return entry as unknown as Dirent
}
