// Standard input for executors in process, whose commands get all of it at once. Pure.
import type { ExecRequest } from '../executor.js'

/** The request with its input read to the end. */
export async function withWholeStdin(request: ExecRequest): Promise<ExecRequest> {
  const { stdinStream, ...rest } = request
  if (stdinStream === undefined) return request
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stdinStream) {
    chunks.push(chunk)
    size += chunk.byteLength
  }
  const stdin = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    stdin.set(chunk, at)
    at += chunk.byteLength
  }
  return { ...rest, stdin }
}
