// Child processes as promises: bytes in, bytes out, no shell. Effect.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface ChildResult {
  readonly exitCode: number
  readonly stderr: string
}

/** Feeds a program and waits for its end. @throws when it cannot be started */
export async function feed(
  command: readonly string[],
  input: Iterable<Uint8Array>,
  options: { readonly cwd?: string } = {},
): Promise<ChildResult> {
  const child = spawn(command[0]!, command.slice(1), { ...options, stdio: ['pipe', 'ignore', 'pipe'] })
  const errors = collect(child.stderr)
  const closed = once(child, 'close') as Promise<[number | null]>
  // A program that ends early closes its input; its exit code tells, not EPIPE.
  child.stdin.on('error', () => undefined)
  for (const chunk of input) {
    if (child.stdin.destroyed || child.exitCode !== null) break
    if (!child.stdin.write(chunk)) await Promise.race([once(child.stdin, 'drain'), closed])
  }
  child.stdin.end()
  const [code] = await closed
  return { exitCode: code ?? 128, stderr: await errors }
}

/** Runs a program whose standard output goes to a file descriptor. */
export async function runInto(command: readonly string[], stdout: number | 'ignore'): Promise<ChildResult> {
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', stdout, 'pipe'] })
  const errors = collect(child.stderr!)
  const [code] = (await once(child, 'close')) as [number | null]
  return { exitCode: code ?? 128, stderr: await errors }
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stream) text = (text + String(chunk)).slice(-4096)
  return text
}
