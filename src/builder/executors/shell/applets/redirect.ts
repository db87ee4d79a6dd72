// Whether output can go to a file, asked before a command is run whose redirection just-bash could not refuse, and whether
// all of it went there, asked afterwards. See dialect.ts.
import { errorText, UsageError } from '../process.js'
import type { Applet } from '../process.js'

/** Opens the file as the shell would; says what a shell says. @returns 2 where it cannot be opened, as dash does */
export const redirect: Applet = (args, io) => {
  const [name] = args
  if (name === undefined) throw new UsageError('missing operand')
  const path = io.path(name)
  try {
    const isNew = io.fs.statSync(path, { throwIfNoEntry: false }) === undefined
    io.fs.closeSync(io.fs.openSync(path, 'a', 0o666 & ~io.process.umask))
    if (isNew) io.fs.chmodSync(path, 0o666 & ~io.process.umask)
    io.process.redirected.paths.add(io.fs.realpathSync(path))
    return 0
  } catch (error) {
    const text = (error as { code?: string }).code === 'ENOENT' ? 'Directory nonexistent' : errorText(error)
    io.warn(`cannot create ${name}: ${text}`)
    return 2
  }
}

/** Ends as the command before it did, or with 1 where its output was more than there was room for. */
export const redirected: Applet = ([status = '0'], io) => {
  const { redirected: state } = io.process
  state.paths.clear()
  if (!state.full) return Number(status)
  state.full = false
  io.warn(`write error: ${errorText({ code: 'ENOSPC' })}`)
  return 1
}
