// Private keys of SSH in memory: reading their files, and signing as an agent does. Effect (node:crypto).
// @see openssh PROTOCOL.key, RFC 8709 (Ed25519), RFC 8332 (RSA with SHA-2), RFC 5656 (ECDSA)
import { createPrivateKey, createPublicKey, sign, type JsonWebKey, type KeyObject } from 'node:crypto'
import { concat, mpint, string, WireReader } from './wire.js'

export interface AgentKey {
  /** The public key as SSH writes it. */
  readonly blob: Uint8Array
  readonly comment: string
  /** @param flags  of the agent's protocol: which hash RSA takes */
  sign(data: Uint8Array, flags: number): Uint8Array
}

const MAGIC = 'openssh-key-v1\0'

/**
 * Reads a file of a private key: OpenSSH's own form, or PEM (PKCS 1, PKCS 8, SEC 1).
 * @throws Error for a key that is damaged, of another kind, or has a passphrase
 */
export function readPrivateKey(text: string): AgentKey {
  const own = /-----BEGIN OPENSSH PRIVATE KEY-----([^-]+)-----END/.exec(text)
  if (own !== null) return readOpenSsh(Buffer.from(own[1]!, 'base64'))
  if (/ENCRYPTED/.test(text)) throw new Error('keys with a passphrase cannot be used')
  return agentKey(createPrivateKey(text), '')
}

function readOpenSsh(bytes: Uint8Array): AgentKey {
  const magic = new TextDecoder('latin1').decode(bytes.subarray(0, MAGIC.length))
  if (magic !== MAGIC) throw new Error('no private key of OpenSSH')
  const reader = new WireReader(bytes.subarray(MAGIC.length))
  const cipher = reader.text()
  if (cipher !== 'none') throw new Error('keys with a passphrase cannot be used')
  reader.string()
  reader.string()
  if (reader.uint32() !== 1) throw new Error('a file with several keys')
  reader.string()
  const secret = new WireReader(reader.string())
  if (secret.uint32() !== secret.uint32()) throw new Error('the key is damaged')
  const key = createPrivateKey({ key: readJwk(secret), format: 'jwk' })
  return agentKey(key, secret.text())
}

const CURVES: Readonly<Record<string, readonly [jwk: string, bytes: number, hash: string]>> = {
  nistp256: ['P-256', 32, 'sha256'],
  nistp384: ['P-384', 48, 'sha384'],
  nistp521: ['P-521', 66, 'sha512'],
}

/** The numbers of the key, in the order of its kind. */
function readJwk(secret: WireReader): JsonWebKey {
  const type = secret.text()
  if (type === 'ssh-ed25519') {
    const x = secret.string()
    return { kty: 'OKP', crv: 'Ed25519', x: base64(x), d: base64(secret.string().subarray(0, 32)) }
  }
  if (type === 'ssh-rsa') {
    const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => secret.string()) as [
      Uint8Array,
      ...Uint8Array[],
    ]
    const dp = modulo(d!, p!)
    const dq = modulo(d!, q!)
    const numbers = { n, e: e!, d: d!, p: p!, q: q!, qi: qi! }
    const texts = Object.entries(numbers).map(([name, bytes]) => [name, base64(withoutZeros(bytes))])
    return { kty: 'RSA', dp, dq, ...Object.fromEntries(texts) } as JsonWebKey
  }
  const curve = CURVES[secret.text()]
  if (!type.startsWith('ecdsa-sha2-') || curve === undefined)
    throw new Error(`keys of type ${type} cannot be used`)
  const [crv, size] = curve
  const point = secret.string()
  const d = withoutZeros(secret.string())
  const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)]
  const padded = concat(new Uint8Array(size - d.length), d)
  return { kty: 'EC', crv, x: base64(x), y: base64(y), d: base64(padded) }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
const bytesOf = (text: string | undefined): Uint8Array => Buffer.from(text ?? '', 'base64url')

function withoutZeros(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex((byte) => byte !== 0)
  return start === -1 ? bytes.subarray(bytes.length) : bytes.subarray(start)
}

/** `d mod (p - 1)`: OpenSSH leaves it out, JWK asks for it. */
function modulo(d: Uint8Array, p: Uint8Array): string {
  const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  const hex = (number(d) % (number(p) - 1n)).toString(16)
  return base64(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'))
}

function agentKey(key: KeyObject, comment: string): AgentKey {
  const jwk = createPublicKey(key).export({ format: 'jwk' })
  if (jwk.kty === 'RSA') {
    const blob = concat(string('ssh-rsa'), mpint(bytesOf(jwk.e)), mpint(bytesOf(jwk.n)))
    return { blob, comment, sign: (data, flags) => signRsa(key, data, flags) }
  }
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') {
    const blob = concat(string('ssh-ed25519'), string(bytesOf(jwk.x)))
    return { blob, comment, sign: (data) => signature('ssh-ed25519', sign(null, data, key)) }
  }
  const [name, curve] = Object.entries(CURVES).find(([, [crv]]) => crv === jwk.crv) ?? []
  if (name === undefined || curve === undefined)
    throw new Error(`keys of type ${String(jwk.crv ?? jwk.kty)} cannot be used`)
  const type = `ecdsa-sha2-${name}`
  const point = concat(Uint8Array.of(4), bytesOf(jwk.x), bytesOf(jwk.y))
  const [, size, hash] = curve
  return {
    blob: concat(string(type), string(name), string(point)),
    comment,
    sign(data) {
      const both = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
      return signature(type, concat(mpint(both.subarray(0, size)), mpint(both.subarray(size))))
    },
  }
}

const RSA_SHA2_256 = 2
const RSA_SHA2_512 = 4

function signRsa(key: KeyObject, data: Uint8Array, flags: number): Uint8Array {
  if (flags & RSA_SHA2_512) return signature('rsa-sha2-512', sign('sha512', data, key))
  if (flags & RSA_SHA2_256) return signature('rsa-sha2-256', sign('sha256', data, key))
  return signature('ssh-rsa', sign('sha1', data, key))
}

const signature = (type: string, bytes: Uint8Array): Uint8Array => concat(string(type), string(bytes))
