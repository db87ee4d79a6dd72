// A program that gives up: what it says on standard error, and its exit code.

export class Failure extends Error {
  constructor(message, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Turns a function that throws Failure into one that writes the message and returns the exit code. */
export const program = (run) =>
  async function (context, ...rest) {
    try {
      return (await run(context, ...rest)) ?? 0
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      context.stderr(`${error.message}\n`)
      return error.exitCode
    }
  }

/** A JSON file of the view; a Failure names the file and what is wrong with it. */
export function readJson(fs, path) {
  let text
  try {
    text = fs.readFileSync(path, 'utf8')
  } catch (error) {
    throw new Failure(`${path}: ${error.code}`)
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Failure(`${path}: ${error.message}`)
  }
}
