// What `# check=` says: which rules are skipped, which experimental ones run, whether a violation fails the build.
// @see moby/buildkit frontend/dockerfile/linter/linter.go (ParseLintOptions)
import { parseBool } from '../go-values.js'
import { quote, trim } from '../text.js'

export interface CheckOptions {
  readonly skip: readonly string[]
  readonly skipAll: boolean
  readonly experimental: readonly string[]
  readonly experimentalAll: boolean
  /** A violation is an error. */
  readonly error: boolean
}

export const NO_CHECK_OPTIONS: CheckOptions = {
  skip: [],
  skipAll: false,
  experimental: [],
  experimentalAll: false,
  error: false,
}

/** @param text  `skip=A,B;error=true;experimental=C`. @returns the options, or what is wrong with them */
export function parseCheckOptions(text: string): CheckOptions | string {
  const trimmed = trim(text)
  if (trimmed === '') return NO_CHECK_OPTIONS
  const options: { -readonly [K in keyof CheckOptions]: CheckOptions[K] } = { ...NO_CHECK_OPTIONS }
  for (const part of splitAtMost(trimmed, ';', 3)) {
    const at = part.indexOf('=')
    if (at === -1) return `invalid check option ${quote(part)}`
    const key = trim(part.slice(0, at))
    const value = trim(part.slice(at + 1))
    const names = value.split(',').map(trim)
    switch (key) {
      case 'skip':
        if (value === 'all') options.skipAll = true
        else options.skip = names
        break
      case 'experimental':
        if (value === 'all') options.experimentalAll = true
        else options.experimental = names
        break
      case 'error': {
        const bool = parseBool(value)
        if (bool === undefined) {
          const reason = `strconv.ParseBool: parsing ${quote(value)}: invalid syntax`
          return `failed to parse check option ${quote(part)}: ${reason}`
        }
        options.error = bool
        break
      }
      default:
        return `invalid check option ${quote(key)}`
    }
  }
  return options
}

/** Go's strings.SplitN. */
function splitAtMost(text: string, separator: string, parts: number): string[] {
  const all = text.split(separator)
  return all.length <= parts ? all : [...all.slice(0, parts - 1), all.slice(parts - 1).join(separator)]
}
