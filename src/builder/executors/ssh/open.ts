// Agents of the host: one behind a socket, or one of keys that are read from files and held in memory. Effect.
import { readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { BuildError } from '../../../errors.js'
import {
  SSH_FAILURE,
  SSH_IDENTITIES_ANSWER,
  SSH_MESSAGE_MAX,
  SSH_REQUEST_IDENTITIES,
  SSH_SIGN_REQUEST,
  SSH_SIGN_RESPONSE,
  type SshAgent,
} from '../../ssh-agent.js'
import { Framer, framed } from './frames.js'
import { readPrivateKey, type AgentKey } from './keys.js'
import { concat, string, uint32, WireReader } from './wire.js'

/** A key's file is not larger. Bytes; BuildKit reads no more. */
const KEY_MAX = 100 << 10

/** @throws BuildError OPTION_INVALID */
export function agentOf(paths: readonly string[]): SshAgent {
  const isSocket = paths.map((path) => typeOf(path).isSocket())
  if (isSocket.includes(true)) {
    if (paths.length === 1) return socketAgent(paths[0]!)
    throw invalid(paths.join(','), 'a socket stands alone, without keys or another socket')
  }
  return keyAgent(paths.map(readKey))
}

function typeOf(path: string): { isSocket(): boolean } {
  try {
    return statSync(path)
  } catch (cause) {
    throw invalid(path, (cause as Error).message, cause)
  }
}

function readKey(path: string): AgentKey {
  try {
    const bytes = readFileSync(path)
    if (bytes.length > KEY_MAX) throw new Error('too large for a key')
    return readPrivateKey(bytes.toString('latin1'))
  } catch (cause) {
    throw invalid(path, (cause as Error).message, cause)
  }
}

function invalid(path: string, reason: string, cause?: unknown): BuildError {
  return new BuildError('OPTION_INVALID', `${path} is no SSH agent's socket and no private key: ${reason}`, {
    data: { option: 'ssh', path },
    cause,
  })
}

/** One connection for each request: none is left open, and an agent that is started again is found again. */
function socketAgent(path: string): SshAgent {
  return {
    request: (message) =>
      new Promise((resolve, reject) => {
        const socket = connect(path)
        const framer = new Framer((answer) => {
          resolve(answer)
          socket.destroy()
        })
        socket.on('error', reject)
        socket.on('close', () => reject(new Error('the agent has closed the connection')))
        socket.on('data', (bytes: Uint8Array) => {
          if (!framer.add(bytes)) socket.destroy(new Error(`an answer of more than ${SSH_MESSAGE_MAX} bytes`))
        })
        socket.write(framed(message))
      }),
  }
}

/** An agent of its own, in this process's memory. */
export function keyAgent(keys: readonly AgentKey[]): SshAgent {
  return {
    async request(message) {
      const [type] = message
      if (type === SSH_REQUEST_IDENTITIES) {
        const entries = keys.flatMap(({ blob, comment }) => [string(blob), string(comment)])
        return concat(Uint8Array.of(SSH_IDENTITIES_ANSWER), uint32(keys.length), ...entries)
      }
      if (type !== SSH_SIGN_REQUEST) return Uint8Array.of(SSH_FAILURE)
      const reader = new WireReader(message.subarray(1))
      const blob = Buffer.from(reader.string())
      const data = reader.string()
      const flags = reader.uint32()
      const key = keys.find((each) => blob.equals(each.blob))
      if (key === undefined) return Uint8Array.of(SSH_FAILURE)
      return concat(Uint8Array.of(SSH_SIGN_RESPONSE), string(key.sign(data, flags)))
    },
  }
}
