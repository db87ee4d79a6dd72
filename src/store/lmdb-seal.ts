// A checksum over the whole data file of the cache index, which lmdb has none of: a flipped bit in its tree of pages could
// kill the writer that maps it. There is a seal exactly while nobody has written since it was made: whoever writes takes
// it away first, under lmdb's lock for writers, and the last to close seals anew.
import type { Disk } from './disk-layout.js'
import { sealLine, unsealLine } from './records.js'

/** Larger ones are not sealed: to look at their pages costs the next writer as little. */
const SEALED_BYTES_MAX = 32 << 20
const READ_BYTES = 1 << 20
const LOOKS_MAX = 3

interface Seal {
  /** Bytes. */
  readonly size: number
  /** CRC-32. */
  readonly sum: number
}

export class LmdbSeal {
  constructor(
    readonly disk: Disk,
    readonly data: string,
  ) {}

  get #path(): string {
    return `${this.disk.paths.records}/seal`
  }

  /** Whether the data file is the one that was sealed, or another. Without a seal nothing is known. */
  state(): 'whole' | 'broken' | 'absent' {
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const seal = this.#read()
      if (seal === undefined) return 'absent'
      const actual = this.#measure()
      if (actual?.size === seal.size && actual.sum === seal.sum) return 'whole'
      // Unless someone has begun to write, or sealed anew, since the seal was read.
      const again = this.#read()
      if (again?.size === seal.size && again.sum === seal.sum) return 'broken'
    }
    return 'absent'
  }

  /** Under the lock for writers, with nothing written in this transaction. */
  make(): void {
    const { fs, paths, checksum, tempName } = this.disk
    const seal = this.#measure()
    if (seal === undefined || seal.size > SEALED_BYTES_MAX) return
    const temp = `${paths.temp}/${tempName()}`
    const fd = fs.open(temp, 'create')
    try {
      fs.write(fd, new TextEncoder().encode(sealLine(seal, checksum)))
    } finally {
      fs.close(fd)
    }
    fs.rename(temp, this.#path)
  }

  /**
   * Under the lock for writers, before anything is written. Not synced: after a power cut a seal that came back may break
   * what is sound, which costs builds time.
   */
  remove(): void {
    if (this.disk.fs.stat(this.#path) !== undefined) this.disk.fs.remove(this.#path)
  }

  /** A damaged seal is none: it may have been torn by a power cut. */
  #read(): Seal | undefined {
    const bytes = this.disk.fs.readFile(this.#path)
    return bytes && (unsealLine(new TextDecoder().decode(bytes), this.disk.checksum) as Seal | undefined)
  }

  #measure(): Seal | undefined {
    const { fs, checksum } = this.disk
    if (fs.stat(this.data) === undefined) return undefined
    const fd = fs.open(this.data, 'read')
    try {
      const { size } = fs.statFd(fd)
      const buffer = new Uint8Array(Math.min(READ_BYTES, size))
      let sum = 0
      for (let at = 0; at < Math.min(size, SEALED_BYTES_MAX); at += buffer.byteLength) {
        const piece = buffer.subarray(0, Math.min(buffer.byteLength, size - at))
        sum = checksum(piece.subarray(0, fs.read(fd, piece, at)), sum)
      }
      return { size, sum }
    } finally {
      fs.close(fd)
    }
  }
}
