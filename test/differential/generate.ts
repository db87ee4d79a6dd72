// Makes cases: random stacks of layers, and random steps that mostly touch what is there. Small alphabets make steps meet.
import type { Case, LayerEntry, Step } from './case.js'
import { Dice } from '../chance.js'

const NAMES = ['a', 'b', 'c', 'd', 'e']
/** Three of it stay below 256 bytes, beyond which overlayfs refuses to rename a lower directory. */
const LONG_NAME = 'x'.repeat(80)
const ODD_NAMES = ['\u00c3\u00a9', '\xff\xfe', 'with space', '.hidden', LONG_NAME]
const MODES = [0o644, 0o600, 0o755, 0o444, 0o000, 0o4755, 0o2755, 0o666, 0o6711, 0o2644]
const DIR_MODES = [0o755, 0o755, 0o755, 0o700, 0o777, 0o1777, 0o2775, 0o555, 0o711, 0o3777]
const IDS = [0, 0, 0, 1000, 1001, 4_000_000_000]
const TARGETS = [
  'a',
  'b',
  '../a',
  '/a/b',
  '/',
  '..',
  'missing',
  '/missing/x',
  'c/d',
  '.',
  'a/',
  '../../../b',
  'd',
]
const CONTENTS = ['', 'x', 'hello\n', 'lower', 'lower '.repeat(15)]

/** cap_net_raw+ep as the kernel keeps it (struct vfs_cap_data, revision 2): writing and chown take it away. */
const CAPABILITY = '\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
const XATTRS = [
  { 'user.tag': 'value' },
  { 'user.a': '', 'user.b': '\0\xff' },
  { 'security.capability': CAPABILITY },
]

/** A stack of 1 to 8 layers, base first. Every layer names the parents of its entries, as real layers do. */
function makeLayers(dice: Dice): LayerEntry[][] {
  const layers: LayerEntry[][] = []
  /** The merged tree so far: path → entry. */
  const merged = new Map<string, LayerEntry>()
  const count = 1 + dice.below(dice.chance(0.2) ? 8 : 4)
  for (let i = 0; i < count; i++) layers.push(makeLayer(dice, merged))
  return layers
}

function makeLayer(dice: Dice, merged: Map<string, LayerEntry>): LayerEntry[] {
  const own = new Map<string, LayerEntry>()
  const size = 2 + dice.below(10)
  for (let i = 0; i < size; i++) {
    const path = layerPath(dice)
    if (own.has(path) || !canHold(path, own, merged)) continue
    if (merged.has(path) && dice.chance(0.3)) {
      addParents(path, own, merged, dice)
      own.set(path, { kind: 'delete', path })
      continue
    }
    addParents(path, own, merged, dice)
    own.set(path, makeEntry(dice, path, own))
  }
  // overlayfs lists a whiteout in a directory that has nothing below it; no tool writes such a thing.
  for (const path of own.keys()) {
    if (own.get(path)!.kind === 'delete' && parentsOf(path).some((parent) => own.get(parent)?.isOpaque))
      own.delete(path)
  }
  applyLayer(own, merged)
  return [...own.values()].sort((a, b) => Number(a.kind === 'link') - Number(b.kind === 'link'))
}

/** Whether every directory above is one, or can become one in this layer. */
function canHold(path: string, own: Map<string, LayerEntry>, merged: Map<string, LayerEntry>): boolean {
  for (const parent of parentsOf(path)) {
    const entry = own.get(parent)
    if (entry !== undefined && entry.kind !== 'dir') return false
    if (entry === undefined && (merged.get(parent)?.kind ?? 'dir') !== 'dir') return false
  }
  // A deleted or replaced directory of this layer has nothing of it below.
  return true
}

function addParents(
  path: string,
  own: Map<string, LayerEntry>,
  merged: Map<string, LayerEntry>,
  dice: Dice,
): void {
  for (const parent of parentsOf(path)) {
    if (own.has(parent)) continue
    own.set(parent, merged.get(parent) ?? makeDirectory(dice, parent))
  }
}

function parentsOf(path: string): string[] {
  const parts = path.split('/')
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('/'))
}

function layerPath(dice: Dice): string {
  const depth = 1 + dice.below(3)
  const names: string[] = []
  for (let i = 0; i < depth; i++) names.push(dice.chance(0.05) ? dice.of(ODD_NAMES) : dice.of(NAMES))
  return names.join('/')
}

function ownership(dice: Dice) {
  return { uid: dice.of(IDS), gid: dice.of(IDS), mtime: 1000 + dice.below(1_000_000) }
}

function makeDirectory(dice: Dice, path: string): LayerEntry {
  return { kind: 'dir', path, mode: dice.of(DIR_MODES), ...ownership(dice) }
}

function makeEntry(dice: Dice, path: string, own: Map<string, LayerEntry>): LayerEntry {
  const roll = dice.next()
  if (roll < 0.3) return { ...makeDirectory(dice, path), isOpaque: dice.chance(0.25) }
  if (roll < 0.45) return { kind: 'symlink', path, target: dice.of(TARGETS), mode: 0o777, ...ownership(dice) }
  if (roll < 0.57) {
    // tar takes the capability of a file away when it makes a link to it.
    const isLinkable = ({ kind, xattrs }: LayerEntry) => kind === 'file' && !xattrs?.['security.capability']
    const files = [...own.values()].filter(isLinkable)
    if (files.length > 0) return { kind: 'link', path, target: dice.of(files).path }
  }
  // A device without a driver: opening it fails. (Opening a fifo would block.)
  if (roll < 0.6) return { kind: 'chardev', path, mode: dice.of(MODES), rdev: [240, 7], ...ownership(dice) }
  return {
    kind: 'file',
    path,
    mode: dice.of(MODES),
    content: dice.of(CONTENTS),
    ...ownership(dice),
    ...(dice.chance(0.2) ? { xattrs: dice.of(XATTRS) } : {}),
  }
}

/** The layer's effect on the merged tree, as far as the generator must know it. */
function applyLayer(own: Map<string, LayerEntry>, merged: Map<string, LayerEntry>): void {
  for (const entry of own.values()) {
    const isSameDirectory = entry.kind === 'dir' && merged.get(entry.path)?.kind === 'dir' && !entry.isOpaque
    if (!isSameDirectory) {
      for (const path of merged.keys()) if (path.startsWith(`${entry.path}/`)) merged.delete(path)
    }
    if (entry.kind === 'delete') merged.delete(entry.path)
  }
  for (const entry of own.values())
    if (entry.kind !== 'delete') merged.set(entry.path, { ...entry, isOpaque: false })
}

const FLAGS = ['r', 'r+', 'w', 'w+', 'a', 'a+', 'wx', 'ax', 'wx+', 'rs+', 'as']
const NUMERIC_FLAGS = [0o200000, 0o400000, 0o1000, 0o102, 0o302, 0o2002, 0o101, 0o400100, 0o1001]
const STEP_MODES = [0o644, 0o600, 0o755, 0o777, 0o000, 0o4755, 0o2755, 0o1777, 0o444]
const DATA: readonly unknown[] = ['', 'data', 'longer text', { fill: 'z', size: 3000 }, { hex: '00ff80' }]
const SLOTS = 4

/** Steps as a table: weight, and what makes one. */
const STEPS: readonly (readonly [weight: number, make: (dice: Dice, path: () => unknown) => Step])[] = [
  [
    6,
    (r, p) =>
      step(
        'writeFileSync',
        p(),
        r.of(DATA),
        ...(r.chance(0.5) ? [{ flag: r.of(FLAGS), mode: r.of(STEP_MODES) }] : []),
      ),
  ],
  [3, (r, p) => step('appendFileSync', p(), r.of(DATA))],
  [5, (_, p) => step('readFileSync', p())],
  [4, (_, p) => step('statSync', p())],
  [4, (_, p) => step('lstatSync', p())],
  [1, (_, p) => step('statSync', p(), { throwIfNoEntry: false })],
  [1, (_, p) => step('lstatSync', p(), { bigint: true, throwIfNoEntry: false })],
  [2, (_, p) => step('existsSync', p())],
  [3, (r, p) => step('accessSync', p(), r.below(8))],
  [5, (_, p) => step('readdirSync', p(), { encoding: 'buffer' })],
  [1, (_, p) => step('readdirSync', p())],
  [2, (_, p) => step('readdirSync', p(), { withFileTypes: true })],
  [1, (_, p) => step('readdirSync', p(), { recursive: true, withFileTypes: true })],
  [1, (_, p) => step('opendirSync', p())],
  [6, (r, p) => step('mkdirSync', p(), ...(r.chance(0.5) ? [r.of(STEP_MODES)] : []))],
  [
    4,
    (r, p) =>
      step('mkdirSync', p(), { recursive: true, ...(r.chance(0.3) ? { mode: r.of(STEP_MODES) } : {}) }),
  ],
  [5, (_, p) => step('rmdirSync', p())],
  [6, (_, p) => step('unlinkSync', p())],
  [2, (_, p) => step('rmSync', p())],
  [2, (_, p) => step('rmSync', p(), { force: true })],
  [3, (_, p) => step('rmSync', p(), { recursive: true, force: true })],
  [14, (_, p) => step('renameSync', p(), p())],
  [8, (_, p) => step('linkSync', p(), p())],
  [6, (r, p) => step('symlinkSync', r.chance(0.7) ? r.of(TARGETS) : p(), p())],
  [3, (_, p) => step('readlinkSync', p(), 'buffer')],
  [2, (_, p) => step('realpathSync', p(), 'buffer')],
  [2, (_, p) => step('realpathSync.native', p(), 'buffer')],
  [4, (r, p) => step('chmodSync', p(), r.of(STEP_MODES))],
  [4, (r, p) => step('chownSync', p(), r.of([0, 1000, 1001, -1]), r.of([0, 1000, 1001, -1]))],
  [2, (r, p) => step('lchownSync', p(), r.of([0, 1000, -1]), r.of([0, 1000, -1]))],
  [3, (r, p) => step('utimesSync', p(), r.below(1000), r.below(100_000) + 0.5)],
  [2, (r, p) => step('lutimesSync', p(), r.below(1000), r.below(100_000) + 0.25)],
  [4, (r, p) => step('truncateSync', p(), r.of([0, 3, 100, 6000]))],
  [3, (r, p) => step('copyFileSync', p(), p(), ...(r.chance(0.3) ? [1] : []))],
  [
    2,
    (r, p) =>
      step('cpSync', p(), p(), {
        recursive: r.chance(0.8),
        force: r.chance(0.8),
        errorOnExist: r.chance(0.3),
        verbatimSymlinks: r.chance(0.5),
        preserveTimestamps: r.chance(0.3),
      }),
  ],
  [1, (_, p) => step('mkdtempSync', p())],
  [1, (_, p) => step('statfsSync', p())],
  [
    8,
    (r, p) => ({
      ...step('openSync', p(), r.chance(0.8) ? r.of(FLAGS) : r.of(NUMERIC_FLAGS), r.of(STEP_MODES)),
      slot: r.below(SLOTS),
    }),
  ],
  [3, (r) => step('closeSync', { fd: r.below(SLOTS) })],
  [
    5,
    (r) =>
      step('writeSync', { fd: r.below(SLOTS) }, r.of(DATA), ...(r.chance(0.4) ? [r.of([0, 5, 10_000])] : [])),
  ],
  [
    5,
    (r) =>
      step(
        'readSync',
        { fd: r.below(SLOTS) },
        { space: 64 },
        0,
        1 + r.below(64),
        r.chance(0.5) ? null : r.of([0, 3, 9999]),
      ),
  ],
  [
    1,
    (r) =>
      step('readvSync', { fd: r.below(SLOTS) }, [{ space: 3 }, { space: 5 }], ...(r.chance(0.5) ? [1] : [])),
  ],
  [
    1,
    (r) =>
      step(
        'writevSync',
        { fd: r.below(SLOTS) },
        [{ hex: '6162' }, { hex: '63' }],
        ...(r.chance(0.5) ? [1] : []),
      ),
  ],
  [3, (r) => step('fstatSync', { fd: r.below(SLOTS) })],
  [2, (r) => step('ftruncateSync', { fd: r.below(SLOTS) }, r.of([0, 2, 50]))],
  [1, (r) => step('fchmodSync', { fd: r.below(SLOTS) }, r.of(STEP_MODES))],
  [1, (r) => step('fchownSync', { fd: r.below(SLOTS) }, r.of([0, 1000, -1]), r.of([0, 1000, -1]))],
  [1, (r) => step('futimesSync', { fd: r.below(SLOTS) }, r.below(1000), r.below(1000))],
  [1, (r) => step('fsyncSync', { fd: r.below(SLOTS) })],
  [1, (r) => step('readFileSync', { fd: r.below(SLOTS) })],
]
const TOTAL_WEIGHT = STEPS.reduce((sum, [weight]) => sum + weight, 0)

function step(call: string, ...args: unknown[]): Step {
  return { call, args }
}

function makeStep(dice: Dice, known: readonly string[]): Step {
  let roll = dice.next() * TOTAL_WEIGHT
  for (const [weight, make] of STEPS) {
    roll -= weight
    if (roll < 0) return make(dice, () => stepPath(dice, known))
  }
  throw new Error('weights do not add up')
}

/** A path argument: mostly one that may exist, sometimes an odd form of it. */
function stepPath(dice: Dice, known: readonly string[]): unknown {
  let path = known.length > 0 && dice.chance(0.35) ? dice.of(known) : layerPath(dice)
  if (dice.chance(0.12)) path = `${path}/${dice.of(NAMES)}`
  if (dice.chance(0.02)) return ''
  if (dice.chance(0.02)) return '/'
  if (dice.chance(0.02)) return `/${dice.of(['.', '..', '../..', '../a', './b'])}`
  if (dice.chance(0.01)) path = 'n'.repeat(dice.of([255, 256]))
  if (dice.chance(0.01)) return { repeat: '/a/..', times: 900 }
  if (dice.chance(0.08)) path = `${path}${dice.of(['/', '//', '/.', '/..', '/../b', '/./c'])}`
  if (dice.chance(0.7)) path = `/${path}`
  // Bytes that are not ASCII go as a Buffer.
  // eslint-disable-next-line no-control-regex
  if (/[^\x00-\x7f]/.test(path) || dice.chance(0.03))
    return { hex: Buffer.from(path, 'latin1').toString('hex') }
  if (dice.chance(0.02) && path.startsWith('/') && !path.includes('//'))
    return { url: `file://${encodeURI(path)}` }
  return path
}

const IDENTITIES = [
  { uid: 0, gid: 0, groups: [] },
  { uid: 0, gid: 0, groups: [] },
  { uid: 0, gid: 0, groups: [] },
  { uid: 1000, gid: 1000, groups: [] },
  { uid: 1000, gid: 1000, groups: [1001] },
]

const NO_BUFFERS = new Set(['cpSync', 'mkdtempSync', 'readdirSync', 'realpathSync'])

/** The case of a seed. */
export function makeCase(seed: number, stepCount: number): Case {
  const dice = new Dice(seed)
  const layers = makeLayers(dice)
  const known = [...new Set(layers.flat().map((entry) => entry.path))]
  const identity = dice.of(IDENTITIES)
  const umask = dice.of([0o022, 0o022, 0o002, 0o077, 0])
  const hasRawNames = known.some((path) => path.includes('\xff'))
  const steps: Step[] = []
  while (steps.length < stepCount) {
    const made = makeStep(dice, known)
    // Without such names below, none is made either.
    if (!hasRawNames && JSON.stringify(made.args).includes('fffe')) continue
    // What Node itself gets wrong with Buffers (cp and recursive readdir refuse them, realpath garbles
    // them) and with names that are not UTF-8, and mkdtemp
    // without a prefix.
    if (NO_BUFFERS.has(made.call) && JSON.stringify(made.args).includes('"hex"')) continue
    if (
      hasRawNames &&
      (made.call === 'cpSync' || JSON.stringify(made.args).includes('"recursive":true,"with'))
    )
      continue
    if (made.call === 'mkdtempSync' && made.args[0] === '') continue
    // Removes what its own path leads through, in the order of the directory.
    if (made.call === 'rmSync' && /\.\.|2e2e/.test(JSON.stringify(made.args[0]))) continue
    steps.push(made)
  }
  return { seed, layers, identity, umask, steps }
}
