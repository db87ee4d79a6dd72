// Messages on a stream: each with its length before it. Pure.
import { SSH_MESSAGE_MAX } from '../../ssh-agent.js'
import { concat, uint32 } from './wire.js'

export const framed = (message: Uint8Array): Uint8Array => concat(uint32(message.length), message)

/** Puts messages together from pieces of a stream. */
export class Framer {
  #held: Uint8Array = new Uint8Array()

  constructor(private readonly onMessage: (message: Uint8Array) => void) {}

  /** @returns whether it could be a message: an empty one or one beyond the limit is the end of the conversation */
  add(piece: Uint8Array): boolean {
    this.#held = concat(this.#held, piece)
    while (this.#held.length >= 4) {
      const length = new DataView(this.#held.buffer, this.#held.byteOffset).getUint32(0)
      if (length === 0 || length > SSH_MESSAGE_MAX) return false
      if (this.#held.length < 4 + length) return true
      const message = this.#held.slice(4, 4 + length)
      this.#held = this.#held.subarray(4 + length)
      this.onMessage(message)
    }
    return true
  }
}
