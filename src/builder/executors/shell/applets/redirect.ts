// Whether output can go to a file, asked before a command is run whose redirection just-bash could not refuse. See dialect.ts.
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
    return 0
  } catch (error) {
    const text = (error as { code?: string }).code === 'ENOENT' ? 'Directory nonexistent' : errorText(error)
    io.warn(`cannot create ${name}: ${text}`)
    return 2
  }
}
