// What EXPOSE accepts: `80`, `80/udp`, `8000-8005`, and, with a warning, `[ip:]host:container`.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert_expose.go
import { DockerfileError, type SourceLocation } from '../../errors.js'
import { quote } from './text.js'

const PROTOCOLS: ReadonlySet<string> = new Set(['tcp', 'udp', 'sctp'])
const PORT_MAX = 65_535

export interface PortSpec {
  /** `80/tcp`, ranges unfolded. */
  readonly ports: readonly string[]
  /** The protocol as written has capitals. */
  readonly protocolCasing: boolean
  /** An address or a host port is given; EXPOSE ignores it. */
  readonly hostPart: boolean
}

/** @throws DockerfileError ARGUMENT_INVALID */
export function parsePorts(specs: readonly string[], at?: SourceLocation): string[] {
  return specs.flatMap((spec) => parsePort(spec, at).ports)
}

/** What can be said of a port before its numbers are looked at: for the build checks, which tell it of bad ones, too. */
export type PortNotes = Pick<PortSpec, 'protocolCasing' | 'hostPart'>

/**
 * @param onNotes  told once the protocol is known to be one
 * @throws DockerfileError ARGUMENT_INVALID
 */
export function parsePort(spec: string, at?: SourceLocation, onNotes?: (notes: PortNotes) => void): PortSpec {
  const fail = (message: string): DockerfileError =>
    new DockerfileError(
      'ARGUMENT_INVALID',
      message,
      at ?? {
        file: '<port>',
        range: { start: { line: 1, column: 1 }, end: { line: 1, column: spec.length + 1 } },
        line: spec,
      },
      { data: { port: spec } },
    )
  const parts = spec.split(':')
  const container = parts.at(-1)!
  const hostPort = parts.at(-2) ?? ''
  const ip = parts.slice(0, -2).join(':')
  const slash = container.indexOf('/')
  const portText = slash === -1 ? container : container.slice(0, slash)
  const protocol = slash === -1 || slash === container.length - 1 ? 'tcp' : container.slice(slash + 1)
  if (portText === '') throw fail(`invalid port: ${quote(spec)}: no port specified`)
  if (!PROTOCOLS.has(protocol.toLowerCase())) {
    throw fail(`invalid port: ${quote(spec)}: invalid proto: ${protocol}`)
  }
  const notes = {
    protocolCasing: protocol !== protocol.toLowerCase(),
    hostPart: ip !== '' || hostPort !== '',
  }
  onNotes?.(notes)
  checkIp(ip, fail)
  const range = parseRange(portText)
  if (range === undefined) throw fail(`invalid containerPort: ${portText}`)
  if (hostPort !== '') {
    const host = parseRange(hostPort)
    if (host === undefined) throw fail(`invalid hostPort: ${hostPort}`)
    if (range.end - range.start !== host.end - host.start && range.end !== range.start) {
      throw fail(`invalid ranges specified for container and host Ports: ${portText} and ${hostPort}`)
    }
  }
  const ports: string[] = []
  for (let port = range.start; port <= range.end; port++) ports.push(`${port}/${protocol.toLowerCase()}`)
  return { ports, ...notes }
}

function parseRange(text: string): { start: number; end: number } | undefined {
  const dash = text.indexOf('-')
  const first = dash === -1 ? text : text.slice(0, dash)
  const start = parseNumber(first)
  if (start === undefined) return undefined
  if (dash === -1) return { start, end: start }
  const end = parseNumber(text.slice(dash + 1))
  return end === undefined || end < start ? undefined : { start, end }
}

function parseNumber(text: string): number | undefined {
  if (!/^[+-]?[0-9]{1,20}$/.test(text)) return undefined
  const port = Number(text)
  return port >= 0 && port <= PORT_MAX ? port + 0 : undefined
}

function checkIp(ip: string, fail: (message: string) => DockerfileError): void {
  if (ip === '') return
  const fault = ip.startsWith('[') ? bracketFault(ip) : undefined
  if (fault !== undefined) throw fail(`invalid IP address ${ip}: address ${ip}:: ${fault}`)
  const address = ip.startsWith('[') ? ip.slice(1, -1) : ip
  if (address !== '' && !isIpv4(address) && !isIpv6(address)) throw fail(`invalid IP address: ${address}`)
}

/** What Go's net.SplitHostPort says of an address in brackets with an empty port behind it. */
function bracketFault(ip: string): string | undefined {
  const end = ip.indexOf(']')
  if (end === -1) return "missing ']' in address"
  if (end + 1 < ip.length)
    return ip[end + 1] === ':' ? 'too many colons in address' : 'missing port in address'
  return ip.includes('[', 1) ? "unexpected '[' in address" : undefined
}

/** Go's net.ParseIP refuses leading zeros. */
function isIpv4(text: string): boolean {
  const parts = text.split('.')
  return (
    parts.length === 4 && parts.every((part) => /^(?:0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  )
}

function isIpv6(text: string): boolean {
  const halves = text.split('::')
  if (halves.length > 2) return false
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  const last = groups.at(-1)
  const embedded = last !== undefined && isIpv4(last)
  if (embedded) groups.pop()
  if (!groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return false
  const count = groups.length + (embedded ? 2 : 0)
  return halves.length === 2 ? count < 8 : count === 8
}
