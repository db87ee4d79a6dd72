// URLs that name something in a git repository: `https://host/repo.git#ref:subdir`, `git@host:repo?ref=v1&subdir=docs`. Pure.
// @see moby/buildkit frontend/dockerfile/dfgitutil/git_ref.go, util/gitutil/git_url.go

/** What a git URL names. */
export interface GitReference {
  readonly kind: 'git'
  /** What git is given: the URL without query and fragment. */
  readonly remote: string
  /** Branch, tag or commit as written; '' is the default branch. */
  readonly ref: string
  /** Directory of the repository that becomes the root, without leading or trailing `/`; '' is all of it. */
  readonly subdir: string
  /** First hex digits that the commit must have. */
  readonly checksum: string | undefined
  readonly keepGitDir: boolean | undefined
  readonly submodules: boolean | undefined
  /** `github.com/owner/repo`: a path as well, so only a build context may be written so. */
  readonly isPathLike: boolean
}

/** A git URL whose query cannot be taken. */
export interface GitReferenceFault {
  readonly kind: 'invalid'
  readonly reason: string
}

const URL_FORM = /^([A-Za-z0-9]+):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s
const SCP_FORM = /^([A-Za-z0-9_-]+)@([A-Za-z0-9.-]+):(.*?)(?:\?(.*?))?(?:#(.*))?$/s
const TRANSPORTS = new Set(['http', 'https', 'ssh', 'git'])

/**
 * Reads a git URL. An http(s) URL is one when its path ends in `.git`; `git://`, `ssh://` and `user@host:path` always are.
 *
 * @returns `undefined` for what is no git URL
 */
export function parseGitReference(text: string): GitReference | GitReferenceFault | undefined {
  const isPathLike = text.startsWith('github.com/')
  const parts = isPathLike ? urlParts(`https://${text}`) : (urlParts(text) ?? scpParts(text))
  if (parts === undefined) return undefined
  if (!isPathLike && /^https?$/.test(parts.scheme) && !parts.path.endsWith('.git')) return undefined
  const [ref = '', subdir = ''] = splitOnce(parts.fragment, ':')
  try {
    const query = readQuery(parts.query, { ref, subdir })
    return { kind: 'git', remote: parts.remote, isPathLike, ...query, subdir: cleanSubdir(query.subdir) }
  } catch (error) {
    if (error instanceof QueryFault) return { kind: 'invalid', reason: error.message }
    throw error
  }
}

/** Whether a ref is a commit's full name: sha1, or sha256 in repositories of that format. */
export function isCommit(ref: string): boolean {
  return /^(?:[a-f0-9]{40}|[a-f0-9]{64})$/.test(ref)
}

/** A URL without the name and password in it, for messages, logs and files. */
export function redactUrl(url: string): string {
  return url.replace(/^([A-Za-z0-9+.-]+:\/\/)[^/@]*@/, (_, scheme: string) => `${scheme}xxxxx@`)
}

interface Parts {
  readonly scheme: string
  readonly path: string
  readonly remote: string
  readonly query: string
  readonly fragment: string
}

function urlParts(text: string): Parts | undefined {
  const [, scheme = '', host = '', path = '', query = '', fragment = ''] = URL_FORM.exec(text) ?? []
  if (!TRANSPORTS.has(scheme.toLowerCase())) return undefined
  return {
    scheme: scheme.toLowerCase(),
    path: decode(path),
    remote: `${scheme.toLowerCase()}://${host}${path}`,
    query,
    fragment: decode(fragment),
  }
}

function scpParts(text: string): Parts | undefined {
  const [whole, user, host, path = '', query = '', fragment = ''] = SCP_FORM.exec(text) ?? []
  if (whole === undefined) return undefined
  return { scheme: 'ssh', path, remote: `${user}@${host}:${path}`, query, fragment }
}

/** Percent signs that stand for nothing stay as they are. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator)
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

/** Kept inside the repository, as a path from its root. */
function cleanSubdir(subdir: string): string {
  const out: string[] = []
  for (const part of subdir.split('/')) {
    if (part === '..') out.pop()
    else if (part !== '' && part !== '.') out.push(part)
  }
  return out.join('/')
}

class QueryFault extends Error {}

type QueryFields = Pick<GitReference, 'ref' | 'subdir' | 'checksum' | 'keepGitDir' | 'submodules'>

/** @throws QueryFault in BuildKit's words */
function readQuery(text: string, fragment: { readonly ref: string; readonly subdir: string }): QueryFields {
  const query = new URLSearchParams(text)
  const values = new Map<string, string>()
  for (const name of new Set(query.keys())) {
    const [value = '', ...more] = query.getAll(name)
    const key = name === 'commit' ? 'checksum' : name
    if (more.length > 0) throw new QueryFault(`query ${JSON.stringify(name)} has multiple values`)
    if (!QUERY_NAMES.has(name)) throw new QueryFault(`unexpected query ${JSON.stringify(name)}`)
    if (value === '' && !FLAG_NAMES.has(name))
      throw new QueryFault(`query ${JSON.stringify(name)} has no value`)
    values.set(key, value)
  }
  const checksum = values.get('checksum')
  const ref = refOf(values, agreed('ref', fragment.ref, values.get('ref')))
  return {
    ref: ref === '' && checksum !== undefined ? checksum : ref,
    subdir: agreed('subdir', fragment.subdir, values.get('subdir')),
    checksum,
    keepGitDir: flagOf(values, 'keep-git-dir'),
    submodules: flagOf(values, 'submodules'),
  }
}

const FLAG_NAMES = new Set(['keep-git-dir', 'submodules'])
const QUERY_NAMES = new Set(['ref', 'tag', 'branch', 'subdir', 'checksum', 'commit', ...FLAG_NAMES])

/** `tag=` and `branch=` are refs that say which kind they are. */
function refOf(values: ReadonlyMap<string, string>, ref: string): string {
  const tag = values.get('tag')
  const branch = values.get('branch')
  if (tag !== undefined && branch !== undefined) throw new QueryFault('branch conflicts with tag')
  if (tag !== undefined) return agreed('ref', ref, prefixed('refs/tags/', tag))
  return branch === undefined ? ref : agreed('ref', ref, prefixed('refs/heads/', branch))
}

function prefixed(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name
}

function agreed(what: string, first: string, second: string | undefined): string {
  if (second === undefined) return first
  if (first === '' || first === second) return second
  throw new QueryFault(`${what} conflicts: ${JSON.stringify(first)} vs ${JSON.stringify(second)}`)
}

/** Go's strconv.ParseBool; a name alone is true. */
function flagOf(values: ReadonlyMap<string, string>, name: string): boolean | undefined {
  const value = values.get(name)
  if (value === undefined) return undefined
  if (['', '1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false
  throw new QueryFault(`invalid ${name} value: ${JSON.stringify(value)}`)
}
