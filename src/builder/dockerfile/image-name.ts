// Whether a text can name an image, as `docker build` reads names. Only the check: names are taken apart in the oci room.
// @see distribution/reference (normalize.go, regexp.go)

const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/
const HOST_COMPONENT = /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/
const NAME_MAX = 255

/** `[host[:port]/]path[:tag][@digest]` after adding the default host; 64 hex digits alone are an id, not a name. */
export function isImageName(text: string): boolean {
  if (text.length > 1024 || /^[a-f0-9]{64}$/.test(text)) return false
  const { host, rest } = splitHost(text)
  const at = rest.indexOf('@')
  const named = at === -1 ? rest : rest.slice(0, at)
  if (at !== -1 && !DIGEST.test(rest.slice(at + 1))) return false
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  const path = colon === -1 ? named : named.slice(0, colon)
  if (colon !== -1 && !TAG.test(named.slice(colon + 1))) return false
  if (host.length + 1 + path.length > NAME_MAX) return false
  return isHost(host) && path.split('/').every((part) => PATH_COMPONENT.test(part))
}

/**
 * What Go's reference library says of a text that can name no image; `undefined` when it can.
 *
 * @see distribution/reference normalize.go (ParseNormalizedNamed), reference.go (Parse)
 */
export function imageNameFault(text: string): string | undefined {
  if (isImageName(text)) return undefined
  if (/^[a-f0-9]{64}$/.test(text))
    return `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`
  const { host, rest } = splitHost(text)
  const colon = rest.indexOf(':')
  const named = colon === -1 ? rest : rest.slice(0, colon)
  const path = host === 'docker.io' && !named.includes('/') ? `library/${named}` : named
  if (path !== path.toLowerCase())
    return `invalid reference format: repository name (${path}) must be lowercase`
  const length = host.length + 1 + path.length
  if (
    length > NAME_MAX &&
    isImageName(`${host}/a`) &&
    path.split('/').every((part) => PATH_COMPONENT.test(part))
  )
    return `repository name must not be more than ${NAME_MAX} characters`
  return 'invalid reference format'
}

/** The first component is a host when it looks like one: a dot, a colon, a capital letter, or `localhost`. */
function splitHost(text: string): { host: string; rest: string } {
  const slash = text.indexOf('/')
  const first = text.slice(0, Math.max(slash, 0))
  const isName = !/[.:]/.test(first) && first !== 'localhost' && first === first.toLowerCase()
  return slash === -1 || isName
    ? { host: 'docker.io', rest: text }
    : { host: first, rest: text.slice(slash + 1) }
}

function isHost(host: string): boolean {
  const match = /^(\[[0-9A-Fa-f:]+\]|[^:]*)(?::[0-9]+)?$/.exec(host)
  if (match === null) return false
  return match[1]!.startsWith('[') || match[1]!.split('.').every((part) => HOST_COMPONENT.test(part))
}
