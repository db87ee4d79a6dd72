// An agent behind a socket of ours, for processes that a run starts. Effect.
import { chmodSync, chownSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { SshAgent } from '../../ssh-agent.js'
import { Framer, framed } from './frames.js'

export interface SocketOwner {
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

/**
 * Listens until `close`, which ends all conversations too.
 * @param path  of the socket; its folder must be closed to others
 * @param owner  `undefined` where files cannot be given away
 */
export async function serveAgent(
  agent: SshAgent,
  path: string,
  { uid, gid, mode }: SocketOwner,
  canGive: boolean,
): Promise<{ close(): void }> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    converse(agent, socket)
  })
  await listen(server, path)
  chmodSync(path, mode)
  if (canGive) chownSync(path, uid, gid)
  return {
    close() {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

/** Answers come in the order of the requests. */
function converse(agent: SshAgent, socket: Socket): void {
  let last: Promise<unknown> = Promise.resolve()
  const framer = new Framer((message) => {
    last = last
      .then(async () => socket.write(framed(await agent.request(message))))
      .catch(() => socket.destroy())
  })
  socket.on('error', () => undefined)
  socket.on('data', (bytes: Uint8Array) => {
    if (!framer.add(bytes)) socket.destroy()
  })
}
