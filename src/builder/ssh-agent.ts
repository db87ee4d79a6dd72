// What a RUN with --mount=type=ssh talks to: an agent that lists keys and signs, and does nothing else. Pure.
// @see draft-miller-ssh-agent; moby/buildkit session/sshforward/sshprovider/agentprovider.go
import { BuildError } from '../errors.js'

/** An SSH agent: a message of the protocol goes in, its answer comes out, both without the length before them. */
export interface SshAgent {
  request(message: Uint8Array): Promise<Uint8Array>
}

/** Agents by the id of `--mount=type=ssh,id=…`, whose default is `default`; `undefined` for an id that has none. */
export type SshSource = (id: string) => SshAgent | undefined | Promise<SshAgent | undefined>

export const SSH_FAILURE = 5
export const SSH_REQUEST_IDENTITIES = 11
export const SSH_IDENTITIES_ANSWER = 12
export const SSH_SIGN_REQUEST = 13
export const SSH_SIGN_RESPONSE = 14

const FAILURE = Uint8Array.of(SSH_FAILURE)

/** A message longer than this is no request of an agent's. Bytes; OpenSSH has the same. */
export const SSH_MESSAGE_MAX = 256 * 1024

/** The agent as a RUN may use it: it can list keys and sign; it cannot add, remove or lock, nor extend the protocol. */
export function forRun(agent: SshAgent): SshAgent {
  return {
    async request(message) {
      const [type] = message
      if (type !== SSH_REQUEST_IDENTITIES && type !== SSH_SIGN_REQUEST) return FAILURE
      try {
        return await agent.request(message)
      } catch {
        return FAILURE
      }
    },
  }
}

/** @throws BuildError OPTION_INVALID when a required one is absent */
export async function requireAgent(
  source: SshSource,
  id: string,
  optional: boolean,
): Promise<SshAgent | undefined> {
  const agent = await source(id)
  if (agent !== undefined) return forRun(agent)
  if (optional) return undefined
  throw new BuildError('OPTION_INVALID', `no SSH agent or key is forwarded as ${id}`, {
    data: { option: 'ssh', id },
  })
}

/**
 * The agent that `--ssh ID[=PATH[,PATH]]` of docker means: a socket to forward, or private keys to hold in memory.
 *
 * @param paths  one socket, or files of private keys without a passphrase
 * @throws BuildError OPTION_INVALID for what is neither, or both
 */
export async function openSshAgent(paths: readonly string[]): Promise<SshAgent> {
  const { agentOf } = await import('./executors/ssh/open.js')
  return agentOf(paths)
}
