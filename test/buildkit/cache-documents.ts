// Cache documents made comparable: what is chance in them (times, compressed digests, bytes that hold the time of the
// build) is left out, everything else stays: records and their digests, links, selectors, results and how layers stack.
export interface Document {
  readonly layers?: readonly { readonly blob: string; readonly parent?: number }[]
  readonly records?: readonly DocumentRecord[]
}

export interface DocumentRecord {
  readonly digest: string
  readonly layers?: readonly { readonly layer: number; readonly createdAt?: string }[]
  readonly chains?: readonly { readonly layers: readonly number[]; readonly createdAt?: string }[]
  readonly inputs?: readonly (readonly { readonly selector?: string; readonly link: number }[])[]
}

/**
 * One text for each record, in the document's order: its digest, its inputs (`digest of the record [selector]`, where equal
 * digests have different records their inputs say which), and its results as stacks of layers, base first. Layers are
 * numbered in order of first appearance, so equal numbers are equal blobs.
 */
export function describeDocument(document: Document): string[] {
  const { records = [], layers = [] } = document
  const numbers = new Map<string, string>()
  const nameOf = (blob: string): string => {
    let name = numbers.get(blob)
    if (name === undefined) numbers.set(blob, (name = `L${numbers.size + 1}`))
    return name
  }
  const stack = (top: number): string => {
    const out: string[] = []
    for (let at = top; at !== -1; at = layers[at]!.parent ?? 0) out.unshift(nameOf(layers[at]!.blob))
    return out.join('+')
  }
  return records.map(({ digest, inputs = [], layers: results = [], chains = [] }) => {
    const ways = inputs.map(
      (links) =>
        `(${links
          .map(
            ({ selector, link }) =>
              `${short(records[link]!.digest)}${selector === undefined ? '' : `[${short(selector)}]`}`,
          )
          .toSorted()
          .join(' | ')})`,
    )
    const own = results.map(({ layer }) => stack(layer))
    const others = chains.map(({ layers: chain }) => chain.join('+'))
    return [
      `${digest.slice(7)}`,
      ...ways,
      ...own.map((it) => `= ${it}`),
      ...others.map((it) => `~ ${it}`),
    ].join(' ')
  })
}

function short(digest: string): string {
  return digest.slice(7, 23)
}
