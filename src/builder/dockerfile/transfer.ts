// What can be wrong with a COPY or ADD once its variables are known: mode, checksum, kind of source. Shared by planner and
// checks, so that both refuse the same things for the same reason.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert_copy.go
import { parseGitReference, type GitReference, type GitReferenceFault } from '../git-url.js'
import { parseModeChange } from '../ops/chmod.js'
import type { AddInstruction, CopyInstruction } from './ast.js'

type Transfer = CopyInstruction | AddInstruction

const MODE_MAX = 0o7777

/** The first fault that is not one of a single source. */
export function transferFault(instruction: Transfer): string | undefined {
  return modeFault(instruction.chmod) ?? checksumFault(instruction)
}

/** What is wrong with one source. */
export function sourceFault(instruction: Transfer, source: string): string | undefined {
  if (instruction.kind === 'add') return undefined
  if (gitSource(source) !== undefined) return "source can't be a git ref for COPY"
  return isHttpSource(source) ? "source can't be a URL for COPY" : undefined
}

function modeFault(chmod: string | undefined): string | undefined {
  if (chmod === undefined || chmod === '') return undefined
  if (/^[0-7]+$/.test(chmod) && Number.parseInt(chmod, 8) <= MODE_MAX) return undefined
  if (/^\p{Nd}/u.test(chmod))
    return `invalid chmod parameter: '${chmod}'. it should be octal string and between 0 and 07777`
  return parseModeChange(chmod) !== undefined
    ? undefined
    : `invalid chmod parameter: '${chmod}', neither octal nor symbolic as in chmod(1): invalid syntax`
}

function checksumFault(instruction: Transfer): string | undefined {
  if (instruction.kind !== 'add' || instruction.checksum === undefined) return undefined
  if (instruction.sources.length !== 1) return "checksum can't be specified for multiple sources"
  const source = instruction.sources[0]!
  if (gitSource(source) !== undefined) return undefined
  if (!isHttpSource(source)) return 'checksum requires HTTP(S) or Git sources'
  return digestFault(instruction.checksum)
}

const HEX_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 }

/** What is wrong with a checksum. @see opencontainers/go-digest Digest.Validate */
function digestFault(text: string): string | undefined {
  const at = text.indexOf(':')
  if (at <= 0 || at + 1 === text.length) return 'invalid checksum digest format'
  const length = HEX_LENGTHS[text.slice(0, at)]
  if (length === undefined)
    return /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/.test(text)
      ? 'unsupported digest algorithm'
      : 'invalid checksum digest format'
  const hex = text.slice(at + 1)
  if (hex.length !== length) return 'invalid checksum digest length'
  return /^[a-f0-9]+$/.test(hex) ? undefined : 'invalid checksum digest format'
}

export function isHttpSource(source: string): boolean {
  return /^https?:\/\//.test(source)
}

/** `github.com/owner/repo` is a path here: only a build context may be written so. */
export function gitSource(source: string): GitReference | GitReferenceFault | undefined {
  const reference = parseGitReference(source)
  return reference?.kind === 'git' && reference.isPathLike ? undefined : reference
}
