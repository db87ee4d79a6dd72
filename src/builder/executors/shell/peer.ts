// The door to just-bash, an optional peer: loaded on first use, and a clear error where it is not installed.
import { BuildError } from '../../../errors.js'

export type { Command as CustomCommand, ExecResult, IFileSystem } from 'just-bash'
export type RuntimeCommandContext = Parameters<import('just-bash').Command['execute']>[1]
export type Peer = Pick<typeof import('just-bash'), 'Bash' | 'getCommandNames'>

/** @throws BuildError EXECUTOR_PEER_MISSING */
export async function loadPeer(load: () => Promise<unknown> = () => import('just-bash')): Promise<Peer> {
  try {
    return (await load()) as Peer
  } catch (cause) {
    throw new BuildError(
      'EXECUTOR_PEER_MISSING',
      'the shell executor needs the package just-bash: npm install just-bash (or choose the executor sandbox or functions)',
      { data: { executor: 'shell', package: 'just-bash' }, cause },
    )
  }
}
