// Archives made byte by byte, for what no archiver writes.

export interface Header {
  name?: string | Uint8Array
  mode?: string
  uid?: string | Uint8Array
  gid?: string
  size?: string | Uint8Array
  mtime?: string | Uint8Array
  checksum?: 'signed' | 'wrong'
  type?: string
  linkname?: string
  magic?: string
  prefix?: string
  devmajor?: string
  devminor?: string
}

const USTAR = 'ustar\u000000'

/** One header block; fields are put in as they are. */
export function block(header: Header): Uint8Array {
  const out = new Uint8Array(512)
  const put = (at: number, value: string | Uint8Array) =>
    out.set(typeof value === 'string' ? Buffer.from(value, 'latin1') : value, at)
  put(0, header.name ?? 'f')
  put(100, header.mode ?? '0000644\0')
  put(108, header.uid ?? '0000000\0')
  put(116, header.gid ?? '0000000\0')
  put(124, header.size ?? '00000000000\0')
  put(136, header.mtime ?? '00000000000\0')
  put(148, '        ')
  put(156, header.type ?? '0')
  put(157, header.linkname ?? '')
  put(257, header.magic ?? USTAR)
  put(329, header.devmajor ?? '0000000\0')
  put(337, header.devminor ?? '0000000\0')
  put(345, header.prefix ?? '')
  const signed = header.checksum === 'signed'
  let sum = out.reduce((total, byte) => total + (signed ? (byte << 24) >> 24 : byte), 0)
  if (header.checksum === 'wrong') sum++
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `)
  return out
}

/** A header and its content, padded. */
export function entry(header: Header, content: string | Uint8Array = ''): Uint8Array {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content
  const size = header.size ?? `${bytes.length.toString(8).padStart(11, '0')}\0`
  return Buffer.concat([
    block({ ...header, size }),
    bytes,
    new Uint8Array((512 - (bytes.length % 512)) % 512),
  ])
}

/** An `x` or `g` header with records `keyword=value`. */
export function pax(records: Readonly<Record<string, string | Uint8Array>>, type = 'x'): Uint8Array {
  const parts = Object.entries(records).map(([keyword, value]) => paxRecord(keyword, value))
  return entry({ name: 'PaxHeaders/f', type }, Buffer.concat(parts))
}

export function paxRecord(keyword: string, value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  const rest = Buffer.byteLength(keyword) + bytes.length + 3
  let length = rest + 1
  while (String(length).length + rest !== length) length++
  return Buffer.concat([Buffer.from(`${length} ${keyword}=`), bytes, Buffer.from('\n')])
}

export const END = new Uint8Array(1024)

export function archive(...parts: Uint8Array[]): Uint8Array {
  return Buffer.concat([...parts, END])
}
