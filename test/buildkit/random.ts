// Seeded cases of COPY, ADD and WORKDIR: odd names, links of every kind, destinations that exist already, all flags.
import { gzipSync } from 'node:zlib'
import { diffTrees, EMPTY_TREE, encodeLayer } from '../../src/unionfs/index.js'
import { treeOf } from '../builder/fixtures.js'
import { Dice } from '../chance.js'
import type { BuildCase, FolderText } from './case.js'

const PLAIN = ['a', 'b', 'c', 'd', 'e.txt', 'f.txt', 'sub', 'lib', 'A'] as const
const ODD = ['sp ace', 'ü', '.hid', 'a*b', '[z]', 'q?', 'b\\s', 'x'.repeat(120), 'a,b', '-d', '#h', '$v', '"q"', '..x', 'é', "it's", 'a:b', '\u{1f600}' ] as const // prettier-ignore
const MODES = ['600', '755', '4755', '2711', '1644', '400', '777'] as const
const DIR_MODES = ['700', '711', '1777', '2755', '750'] as const
const TEXTS = ['=', '=1', '=22', '=some text\n', `=${'long '.repeat(20)}`] as const
const TIMES = ['@1', '@1400000000', '@1600000000', '@1234567890', '@0'] as const
const LINKS = ['a', 'b', 'sub', 'lib', '.', '..', '../a', '../..', '/', '/a', '/sub', '/etc/passwd', 'nope', 'nope/x', 'self', '../../../x', 'sub/a', './b', 'a/'] as const // prettier-ignore

interface TreeOptions {
  readonly odd: number
  readonly special: boolean
  readonly owners: boolean
}

function randomTree(dice: Dice, options: TreeOptions): FolderText {
  const out: Record<string, string> = {}
  const folders = ['']
  const files: string[] = []
  const taken = new Set<string>()
  const count = 2 + dice.below(9)
  for (let i = 0; i < count; i++) {
    const parent = dice.of(folders)
    const name = dice.chance(options.odd) ? dice.of(ODD) : dice.of(PLAIN)
    const path = parent + name
    if (taken.has(path)) continue
    taken.add(path)
    const words: string[] = []
    const owner = options.owners && dice.chance(0.4) ? [`${dice.below(3) * 500}:${dice.below(3) * 50}`] : []
    const time = dice.chance(0.5) ? [dice.of(TIMES)] : []
    const kind = dice.next()
    if (kind < 0.3 && parent.split('/').length < 4) {
      if (dice.chance(0.3)) words.push(dice.of(DIR_MODES))
      out[`${path}/`] = [...words, ...owner, ...time].join(' ')
      folders.push(`${path}/`)
    } else if (kind < 0.5) {
      out[path] = [...time, `->${dice.of(LINKS)}`].join(' ')
    } else if (kind < 0.57 && files.length > 0) out[path] = `same=${dice.of(files)}`
    else if (kind < 0.6 && options.special) out[path] = dice.of(['fifo', 'char=1:3'])
    else {
      if (dice.chance(0.4)) words.push(dice.of(MODES))
      out[path] = [...words, ...owner, ...time, dice.of(TEXTS)].join(' ')
      if (!/[ \t]/.test(path)) files.push(path)
    }
  }
  return out
}

const PASSWD = '=root:x:0:0:root:/root:/bin/sh\nann:x:500:600::/home/ann:/bin/sh\nbob:x:501:501::/:/bin/sh\n'
const GROUP = '=root:x:0:\nstaff:x:50:ann\n'
const OWNERS = ['5', '5:6', 'ann', 'ann:staff', 'bob:7', '7:staff', 'nobody', 'ann:nogroup', 'root', 'root:root', ':staff', '0:0', '5:', ':'] as const // prettier-ignore
const CHMODS = [
  '755',
  '600',
  '0',
  '4755',
  'u+x',
  'go-rwx',
  'a=rX',
  'u=rwX,go=rX',
  '+t',
  'g+s',
  '07777',
] as const
const EXCLUDES = ['a', '*', '*.txt', '**/*.txt', 'sub', 'sub/', 'sub/*', '**/a', '!a', '/a', './b', '.*', '**', 's*/[ab]', '../a', 'nope', 'sub/**'] as const // prettier-ignore
const DESTINATIONS = ['/', '.', './', '/o', '/o/', 'o', 'o/', '/o/p/q', '/o/p/', '../x', '/o/.', '/o/..', '/o/./p', '//o//', '/a', '/a/', '/sub', '/sub/', '/lib', '/b', '/b/', '/sub/a', '/sub/lib/', '/d/e.txt', '/c', '/c/', '/lnk', '/lnk/', '/lnk/x', '/dir-lnk/x', '/dang', '/dang/x/', '/loop', 'sp ace/', '..', '/../x'] as const // prettier-ignore

function randomSource(dice: Dice, tree: FolderText): string {
  const paths = Object.keys(tree).map((path) => path.replace(/\/$/, ''))
  const path = dice.of(paths)
  switch (dice.below(32)) {
    case 0:
      return dice.of([
        '.',
        '/',
        './',
        '*',
        '**',
        '?',
        '*/*',
        '[a-c]',
        '*.txt',
        '[!a]',
        '[^a]',
        '/*',
        './*',
        '..',
        '../*',
      ])
    case 1:
      return `/${path}`
    case 2:
      return `./${path}/`
    case 3:
      return `${path}/`
    case 4:
      return `${path}/.`
    case 5:
      return `../${path}`
    case 6:
      return `${path}*`
    case 7:
      return path.replace(/[^/]+$/, '*')
    case 8:
      return path.replace(/^[^/]+/, '*')
    case 9:
      return path.replace(/[a-z]/, '?')
    case 10:
      return path.replace(/[a-z]/, '[a-z]')
    case 11:
      return dice.of([
        path,
        path,
        'nope',
        `${path}/nope`,
        'nope/*',
        `${path}/*`,
        `${path}/../${path}`,
        `sub/../${path}`,
      ])
    default:
      return path
  }
}

/** Words of an instruction: plain where that can be read back, else JSON. */
function words(dice: Dice, list: readonly string[]): string {
  const isPlain = list.every((word) => /^[\w./*?[\]!^:,=<>@+-]+$/.test(word) && !word.startsWith('-'))
  return isPlain && !dice.chance(0.05)
    ? list.join(' ')
    : JSON.stringify(list.map((word) => word.replace(/\$/g, '\\$')))
}

function randomCopy(dice: Dice, trees: Readonly<Record<string, FolderText>>): string {
  const isAdd = dice.chance(0.25)
  const from = !isAdd && dice.chance(0.3) ? dice.of(Object.keys(trees).filter((name) => name !== '')) : ''
  const flags: string[] = []
  if (from !== '') flags.push(`--from=${from}`)
  if (dice.chance(0.2)) flags.push(`--chown=${dice.of(OWNERS)}`)
  if (dice.chance(0.2)) flags.push(`--chmod=${dice.of(CHMODS)}`)
  if (dice.chance(0.15)) flags.push('--link')
  if (dice.chance(0.15)) flags.push(`--exclude=${dice.of(EXCLUDES)}`)
  if (dice.chance(0.05)) flags.push(`--exclude=${dice.of(EXCLUDES)}`)
  const count = dice.chance(0.2) ? 2 + dice.below(2) : 1
  const sources = Array.from({ length: count }, () => randomSource(dice, trees[from]!))
  const dest = dice.chance(0.15) ? `/${randomSource(dice, trees.base ?? trees['']!)}` : dice.of(DESTINATIONS)
  return [isAdd ? 'ADD' : 'COPY', ...flags, words(dice, [...sources, dest])].join(' ')
}

function randomLine(dice: Dice, trees: Readonly<Record<string, FolderText>>): string {
  const kind = dice.next()
  if (kind < 0.1)
    return `WORKDIR ${dice.of(['/w', 'v', '../u', '/o/p', '/lnk', '/lnk/w', '/a', 'sub', '/dang/w', '/', '/w/', '.', '/loop', '/b/x'])}`
  if (kind < 0.15) return `USER ${dice.of(['5', 'ann', 'ann:staff', 'nobody', '5:6'])}`
  if (kind < 0.2) {
    const name = dice.of(['x', 'a', 'eof.txt'])
    const chmod = dice.chance(0.3) ? `--chmod=${dice.of(CHMODS)} ` : ''
    return `${dice.of(['COPY', 'ADD'])} ${chmod}<<${name} ${dice.of(DESTINATIONS.filter((it) => !it.includes(' ')))}\nhi $HOME\n${name}`
  }
  return randomCopy(dice, trees)
}

const IGNORES = [
  'a',
  '*.txt',
  '**/b',
  'sub',
  '!sub/a',
  '/lib',
  '*',
  '!a',
  '!**/a',
  '# x',
  'sub/*',
  '.*',
  '**',
  '!lib',
] as const

/** An archive of a random tree, whole or damaged, plain or compressed. */
function randomArchive(dice: Dice): string {
  const chunks: Uint8Array[] = []
  for (const chunk of encodeLayer(
    diffTrees(EMPTY_TREE, treeOf(randomTree(dice, { odd: 0.1, special: false, owners: true }))),
  ))
    chunks.push(Uint8Array.from(chunk))
  let bytes = Buffer.concat(chunks)
  if (dice.chance(0.4)) bytes = gzipSync(bytes)
  if (dice.chance(0.15)) bytes = bytes.subarray(0, Math.floor(bytes.length * dice.next()))
  return `b64=${bytes.toString('base64')}`
}

/** The case of a seed: always the same. */
export function randomCase(seed: number): BuildCase {
  const dice = new Dice(seed)
  const odd = dice.of([0, 0, 0.1, 0.4])
  const context: Record<string, string> = {
    ...randomTree(dice, { odd, special: dice.chance(0.2), owners: false }),
  }
  if (dice.chance(0.15)) context['arc.tar'] = randomArchive(dice)
  if (dice.chance(0.15)) {
    context['.dockerignore'] =
      `=${Array.from({ length: 1 + dice.below(3) }, () => dice.of(IGNORES)).join('\n')}`
  }
  const base: FolderText = {
    ...randomTree(dice, { odd: odd / 2, special: false, owners: true }),
    'etc/passwd': PASSWD,
    'etc/group': GROUP,
    lnk: '->sub',
    'dir-lnk': '->/o/p',
    dang: '->nowhere',
    loop: '->loop',
  }
  const other = randomTree(dice, { odd, special: false, owners: false })
  const trees = { '': context, base, other }
  const lines = Array.from({ length: dice.of([1, 1, 1, 2, 2, 3]) }, () => randomLine(dice, trees))
  const isScratch = dice.chance(0.3)
  const epoch = dice.chance(0.3) ? 1_450_000_000 : undefined
  return {
    name: `seed ${seed}`,
    dockerfile: `${isScratch ? 'FROM scratch' : 'FROM base'}\n${lines.join('\n')}\n`,
    context,
    contexts: { other },
    images: { base: { files: base } },
    ...(epoch === undefined ? {} : { epoch }),
    ...(epoch !== undefined && dice.chance(0.5) ? { rewrite: true } : {}),
  }
}
