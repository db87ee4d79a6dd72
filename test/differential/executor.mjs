// Runs a list of operations over something shaped like node:fs and says what came of each. The same file runs over
// node:fs, in a process whose root is a kernel overlay mount, and over a view: it must not import anything.

/** Times before this are set on purpose; later ones are "when it happened", which differs from run to run. */
const EXPLICIT_BEFORE_MS = 1_000_000_000_000

/** @param {unknown} value  an argument as JSON has it */
function decode(value) {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    if (typeof value.hex === 'string') return Buffer.from(value.hex, 'hex')
    if (typeof value.fill === 'string') return Buffer.alloc(value.size, value.fill)
    if (typeof value.url === 'string') return new URL(value.url)
    if (typeof value.repeat === 'string') return value.repeat.repeat(value.times)
    if (typeof value.space === 'number') return Buffer.alloc(value.space)
  }
  if (Array.isArray(value)) return value.map(decode)
  return value
}

function describeStats(stats) {
  const mode = Number(stats.mode)
  const isDirectory = stats.isDirectory()
  return {
    mode: mode.toString(8),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    rdev: Number(stats.rdev),
    // Linux gives the size of a directory no meaning, and overlayfs reports 1 link for merged ones.
    ...(isDirectory ? {} : { size: Number(stats.size), nlink: Number(stats.nlink) }),
    mtime: describeTime(Number(stats.mtimeMs)),
    is: [
      'isFile',
      'isDirectory',
      'isSymbolicLink',
      'isFIFO',
      'isSocket',
      'isCharacterDevice',
      'isBlockDevice',
    ]
      .filter((name) => stats[name]())
      .join(),
  }
}

/** Long contents by length and checksum, so that records stay small. */
function shorten(text) {
  if (text.length <= 200) return text
  let sum = 0
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) >>> 0
  return `${text.slice(0, 20)}… ${text.length} bytes, sum ${sum}`
}

function describeTime(ms) {
  return ms < EXPLICIT_BEFORE_MS ? ms : 'now'
}

function describeDirent(entry) {
  return `${Buffer.from(entry.name).toString('latin1')}:${[
    'isFile',
    'isDirectory',
    'isSymbolicLink',
    'isFIFO',
  ]
    .filter((name) => entry[name]())
    .join()}:${entry.parentPath ?? entry.path}`
}

/** A result as JSON: order of listings and random names taken out. */
function describe(call, result, args) {
  if (Buffer.isBuffer(result)) return { bytes: shorten(result.toString('latin1')) }
  if (call === 'mkdtempSync') return String(result).slice(0, -6)
  if (call === 'readdirSync') {
    return result
      .map((item) => (item?.isFile ? describeDirent(item) : Buffer.from(item).toString('latin1')))
      .sort()
  }
  if (call === 'opendirSync') {
    const names = []
    for (let entry = result.readSync(); entry !== null; entry = result.readSync())
      names.push(describeDirent(entry))
    result.closeSync()
    return names.sort()
  }
  if (call === 'statfsSync') return 'ok'
  if (call === 'readSync') return { count: result, bytes: args[1].subarray(0, 64).toString('latin1') }
  if (call === 'readvSync') return { count: result, bytes: Buffer.concat(args[1]).toString('latin1') }
  if (result !== null && typeof result === 'object' && 'mtimeMs' in result) return describeStats(result)
  if (result === undefined) return null
  return result
}

/** `realpathSync.native` is a method of a method. */
function methodOf(fs, call) {
  const [name, inner] = call.split('.')
  return inner === undefined ? fs[name].bind(fs) : fs[name][inner]
}

function describeError(error) {
  // Node 20 forgets the path in errors of opendir; later versions have it, and so do we.
  if (error.syscall === 'opendir') return { error: error.code, errno: error.errno, syscall: error.syscall }
  return {
    error: error.code ?? error.message,
    errno: error.errno,
    syscall: error.syscall,
    path: error.path && shorten(error.path),
    dest: error.dest && shorten(error.dest),
    message: shorten(error.message),
  }
}

/**
 * @param fs     node:fs, or what stands for it
 * @param steps  `{ call, args }`; `{ slot }` names the descriptor that `openSync` gives, an argument `{ fd }` uses it
 * @returns      for each step what it gave, in plain JSON
 */
export function execute(fs, steps) {
  const slots = new Map()
  const results = []
  for (const { call, args: given, slot } of steps) {
    const args = given.map((value) =>
      value !== null && typeof value === 'object' && typeof value.fd === 'number'
        ? (slots.get(value.fd) ?? 9999)
        : decode(value),
    )
    let outcome
    try {
      const result = methodOf(fs, call)(...args)
      if (call === 'openSync') {
        if (slots.has(slot)) fs.closeSync(slots.get(slot))
        slots.set(slot, result)
        outcome = { ok: 'fd' }
      } else outcome = { ok: describe(call, result, args) }
      if (call === 'closeSync') for (const [key, fd] of slots) if (fd === args[0]) slots.delete(key)
      // A random name would make the final trees differ.
      if (call === 'mkdtempSync') fs.rmdirSync(result)
    } catch (error) {
      outcome = describeError(error)
    }
    results.push(JSON.parse(JSON.stringify(outcome)))
  }
  for (const fd of slots.values()) fs.closeSync(fd)
  return results
}

/** The whole tree below `root`: path (bytes as latin1) → what is there. Hard links are named by the first of their paths. */
export function dump(fs, root) {
  const SLASH = Buffer.from('/')
  const out = {}
  const groups = new Map()
  const visit = (path) => {
    const stats = fs.lstatSync(path, { bigint: true })
    const key = path.toString('latin1').slice(root.length - 1) || '/'
    const entry = describeStats(stats)
    if (!stats.isDirectory() && stats.nlink > 1n) {
      const id = `${stats.dev}:${stats.ino}`
      if (!groups.has(id)) groups.set(id, key)
      entry.link = groups.get(id)
    }
    delete entry.is
    if (stats.isSymbolicLink()) entry.target = fs.readlinkSync(path, 'buffer').toString('latin1')
    if (stats.isFile()) entry.content = shorten(fs.readFileSync(path).toString('latin1'))
    out[key] = entry
    if (!stats.isDirectory()) return
    const names = fs.readdirSync(path, 'buffer').sort(Buffer.compare)
    for (const name of names) visit(Buffer.concat([path, SLASH.subarray(path.at(-1) === 0x2f ? 1 : 0), name]))
  }
  visit(Buffer.from(root))
  return out
}
