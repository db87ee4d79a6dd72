// Seeded histories of builds for comparing cache decisions: a random Dockerfile with a context, and what somebody changes
// between one build and the next. Pure: a seed is a scenario.
import { Dice } from '../chance.js'
import type { Files, Project } from './cache-projects.js'

export interface Scenario {
  readonly seed: number
  /** What was changed before each build but the first. */
  readonly changes: readonly string[]
  readonly builds: readonly Project[]
}

interface Stage {
  name: string | undefined
  base: string
  lines: string[]
}

interface Draft {
  files: Record<string, string>
  global: string[]
  stages: Stage[]
  project: Partial<Project>
}

const FILES: Files = {
  a: '=1',
  b: '=2',
  'c.txt': '=3',
  run: '755 =run',
  'd/x': '=dx',
  'd/y.txt': '=dy',
  'd/s/z': '=dz',
  'e/w.txt': '=ew',
  same: '=1',
  link: '->a',
  'd/l': '->x',
}

const SOURCES = [
  'a',
  'b',
  'c.txt',
  'run',
  'd',
  'd/x',
  'd/s',
  'e',
  'link',
  '*.txt',
  'd/*',
  '?',
  'a b',
  'd e',
  '.',
  'same',
  'd/y*',
]
const STAGE_NAMES = ['build', 'deps', 'tools', undefined]

export function scenario(seed: number): Scenario {
  // Far apart, so that neighbouring seeds have nothing in common.
  const dice = new Dice(seed * 2654435761)
  const draft: Draft = { files: { ...FILES }, global: [], stages: [], project: {} }
  if (dice.chance(0.3))
    draft.files['.dockerignore'] = `=${dice.of(['b', 'd/s', '*.txt\n!c.txt', '.dockerignore', '**/*.txt'])}`
  if (dice.chance(0.3)) draft.global.push(`ARG G=${dice.of(['1', '2'])}`)
  const count = 1 + dice.below(4)
  for (let i = 0; i < count; i++) draft.stages.push(stage(dice, draft, i))
  const builds = [render(draft)]
  const changes: string[] = []
  const first = structuredClone(draft)
  const total = 2 + dice.below(2)
  let current = draft
  while (builds.length < total) {
    if (builds.length === 2 && dice.chance(0.4)) {
      current = structuredClone(first)
      changes.push('back to the first')
    } else {
      const { target: _, noCache: __, noCacheFilter: ___, ...rest } = current.project
      current.project = rest
      const told: string[] = []
      for (let n = dice.chance(0.25) ? 2 : 1; n > 0; n--) told.push(change(dice, current))
      changes.push(told.join(', '))
    }
    builds.push(render(current))
  }
  return { seed, changes, builds }
}

function stage(dice: Dice, draft: Draft, index: number): Stage {
  const earlier = draft.stages.flatMap(({ name }) => name ?? [])
  const base = dice.of(['scratch', 'base', 'base', 'base2', ...earlier, ...earlier])
  const named = dice.of(STAGE_NAMES)
  const name = named === undefined || earlier.includes(named) ? undefined : named
  const made: Stage = { name, base, lines: [] }
  for (let n = 1 + dice.below(5); n > 0; n--) made.lines.push(line(dice, draft, made, index))
  return made
}

/** Whether a stage has the shell: it goes back to an image. */
function hasShell(draft: Draft, { base }: Stage): boolean {
  if (base.startsWith('base')) return true
  const below = draft.stages.find(({ name }) => name === base)
  return below !== undefined && hasShell(draft, below)
}

function line(dice: Dice, draft: Draft, self: Stage, index: number): string {
  const kind = dice.below(hasShell(draft, self) ? 18 : 11)
  switch (kind) {
    case 0:
    case 1:
    case 2:
    case 3:
      return `COPY ${flags(dice)}${dice.of(SOURCES)} ${destination(dice)}`
    case 4:
      return `ADD ${dice.of(['a', 'd', '*.txt', 'b'])} ${destination(dice)}`
    case 5:
    case 6:
      return copyFrom(dice, draft, index)
    case 7:
      return `WORKDIR ${dice.of(['/w', 'sub', '/w/sub', '/'])}`
    case 8:
      return `COPY <<E ${destination(dice)}h\n${dice.of(['one', 'two', 'v=$G'])}\nE`
    case 9:
      return dice.of(['LABEL l=1', 'CMD ["x"]', 'EXPOSE 80', 'VOLUME /v', 'STOPSIGNAL 9'])
    case 10:
      return dice.of(['ENV E=1', 'ENV E=2 F=3', 'ARG A=1', 'ARG G', 'ARG A'])
    case 11:
    case 12:
    case 13:
      return `RUN write /r${dice.below(3)} ${dice.of(['one', 'two', '1'])}`
    case 14:
      return `RUN true ${dice.of(['x', 'y'])}`
    case 15:
      return `RUN --mount=${dice.of(['target=/m', 'target=/m,source=d', 'source=a,target=/m', 'type=cache,target=/m', 'type=tmpfs,target=/m', 'type=secret,id=k,target=/m'])} true`
    case 16:
      return mountFrom(dice, draft)
    default:
      return dice.of([
        'RUN cp /bin/sh /sh',
        'RUN write same 1',
        'RUN --network=none true',
        'RUN <<E\nwrite /r1 doc\nE',
      ])
  }
}

function flags(dice: Dice): string {
  let out = ''
  if (dice.chance(0.25)) out += '--link '
  if (dice.chance(0.1)) out += dice.of(['--chmod=600 ', '--chmod=u+x ', '--chmod=755 '])
  if (dice.chance(0.1)) out += dice.of(['--chown=5:6 ', '--chown=7 '])
  if (dice.chance(0.1)) out += dice.of(['--exclude=*.txt ', '--exclude=x ', '--exclude=**/z '])
  return out
}

function destination(dice: Dice): string {
  return dice.of(['/o/', '/p/', './', 'q/', '/o/deep/'])
}

function copyFrom(dice: Dice, draft: Draft, index: number): string {
  const from = sourceStage(dice, draft, index)
  const link = dice.chance(0.2) ? '--link ' : ''
  const path = dice.of(['/', '/o*', '/r*', '/p*', '/*', '/?'])
  return from === undefined
    ? `COPY ${link}a ${destination(dice)}`
    : `COPY ${link}--from=${from} ${path} ${destination(dice)}`
}

function sourceStage(dice: Dice, draft: Draft, index: number): string | undefined {
  if (index === 0 || dice.chance(0.15)) return dice.chance(0.5) ? 'base' : undefined
  const at = dice.below(Math.min(index, draft.stages.length))
  return draft.stages[at]?.name ?? String(at)
}

function mountFrom(dice: Dice, draft: Draft): string {
  const names = draft.stages.flatMap(({ name }) => name ?? [])
  if (names.length === 0) return 'RUN true z'
  return `RUN --mount=from=${dice.of(names)},target=/m true`
}

// ---- changes ----

type Change = (dice: Dice, draft: Draft) => string | undefined

const CHANGES: readonly Change[] = [
  (dice, { files }) => {
    const path = filePath(dice, files)
    files[path] = files[path]!.replace(/=[^]*$/, `=${dice.of(['new', '1', 'dx', 'other'])}`)
    return `edit ${path}`
  },
  (dice, { files }) => {
    const path = dice.of(['n', 'new.txt', 'd/new', 'd/s/new.txt', 'e/n', 'u/v'])
    files[path] = '=added'
    return `add ${path}`
  },
  (dice, { files }) => {
    const path = dice.of(['same', 'd/x', 'd/y.txt', 'd/s/z', 'c.txt', 'run'])
    if (path === 'd/x') delete files['d/l']
    delete files[path]
    return `remove ${path}`
  },
  (dice, { files }) => {
    const path = filePath(dice, files)
    files[path] = files[path]!.replace(/^(\d+ )?/, dice.of(['600 ', '755 ', '4755 ']))
    return `chmod ${path}`
  },
  (dice, { files }) => {
    const path = filePath(dice, files)
    files[path] = `@1500000000 ${files[path]!.replace(/@\d+ /, '')}`
    return `touch ${path}`
  },
  (dice, { files }) => {
    const [from, to] = dice.of([
      ['d/y.txt', 'd/yy.txt'],
      ['c.txt', 'cc.txt'],
      ['d/s/z', 'd/s/zz'],
      ['e/w.txt', 'e/v.txt'],
    ] as const)
    if (files[from] === undefined) return undefined
    files[to] = files[from]
    delete files[from]
    return `rename ${from}`
  },
  (dice, { files }) => {
    const [path, target] = dice.of([
      ['link', '->b'],
      ['link', '->same'],
      ['link', '->d'],
      ['d/l', '->y.txt'],
      ['d/l', '->s/z'],
    ] as const)
    if (files[path] === undefined || (target === '->same' && files.same === undefined)) return undefined
    files[path] = target
    return `retarget ${path}`
  },
  (dice, { files }) => {
    files['.dockerignore'] = `=${dice.of(['b', 'e', 'd/s', '*.txt', 'nothing', '.dockerignore', 'd\n!d/x'])}`
    return 'edit .dockerignore'
  },
  (dice, draft) =>
    editLine(
      dice,
      draft,
      /^RUN write (\S+) (\S+)/,
      (_, path) => `RUN write ${path} ${dice.of(['edited', 'one', '1'])}`,
    ),
  (dice, draft) =>
    editLine(
      dice,
      draft,
      /^(ENV|ARG) (E|A)=(\d)/,
      (_, kind, name) => `${kind} ${name}=${dice.of(['1', '2', '9'])}`,
    ),
  (dice, draft) =>
    editLine(dice, draft, /^COPY (--link )?/, (_, link) => (link === undefined ? 'COPY --link ' : 'COPY ')),
  (dice, draft) =>
    editLine(dice, draft, /^(COPY|ADD)(?!.*--chmod)/, (whole) =>
      whole === 'COPY' ? 'COPY --chmod=700' : 'ADD --chmod=700',
    ),
  (dice, draft) => editLine(dice, draft, /(\/o\/|\/p\/)$/, (whole) => (whole === '/o/' ? '/p/' : '/o/')),
  (dice, draft) => {
    draft.project = {
      ...draft.project,
      args: {
        ...draft.project.args,
        [dice.of(['A', 'G', 'UNUSED', 'HTTP_PROXY'])]: dice.of(['1', '2', 'http://p']),
      },
    }
    return 'build-arg'
  },
  (dice, draft) => {
    draft.project = { ...draft.project, labels: { l: String(dice.below(3)) } }
    return 'label'
  },
  (dice, draft) => {
    draft.global = [`ARG G=${dice.of(['1', '2', '3'])}`]
    return 'global arg'
  },
  (dice, draft) => {
    const at = dice.below(draft.stages.length)
    const { lines } = draft.stages[at]!
    lines.splice(dice.below(lines.length + 1), 0, line(dice, draft, draft.stages[at]!, at))
    return 'insert'
  },
  (dice, draft) => {
    const { lines } = dice.of(draft.stages)
    if (lines.length < 2) return undefined
    lines.splice(dice.below(lines.length), 1)
    return 'delete a line'
  },
  (dice, draft) => {
    const { lines } = dice.of(draft.stages)
    if (lines.length < 2) return undefined
    const at = dice.below(lines.length - 1)
    ;[lines[at], lines[at + 1]] = [lines[at + 1]!, lines[at]!]
    return 'swap lines'
  },
  (dice, draft) => {
    const chosen = dice.of(draft.stages)
    if (!chosen.base.startsWith('base')) return undefined
    chosen.base = chosen.base === 'base' ? 'base2' : 'base'
    return 'another base'
  },
  (dice, draft) => {
    const names = draft.stages.flatMap(({ name }) => name ?? [])
    if (names.length === 0) return undefined
    draft.project = { ...draft.project, target: dice.of(names) }
    return 'target'
  },
  (_, draft) => {
    draft.project = { ...draft.project, noCache: true }
    return 'no-cache'
  },
  (dice, draft) => {
    const names = draft.stages.flatMap(({ name }) => name ?? [])
    if (names.length === 0) return undefined
    draft.project = { ...draft.project, noCacheFilter: [dice.of(names)] }
    return 'no-cache-filter'
  },
  (dice, draft) => {
    dice.of(draft.stages).lines.unshift('# a comment')
    return 'comment'
  },
  (dice, draft) => {
    draft.stages.splice(dice.below(draft.stages.length), 0, {
      name: `s${dice.below(100)}`,
      base: 'base',
      lines: ['RUN write /extra 1'],
    })
    return 'another stage'
  },
  () => 'nothing',
]

function change(dice: Dice, draft: Draft): string {
  for (;;) {
    const told = dice.of(CHANGES)(dice, draft)
    if (told !== undefined) return told
  }
}

function filePath(dice: Dice, files: Record<string, string>): string {
  return dice.of(
    Object.keys(files).filter((path) => path !== '.dockerignore' && !files[path]!.startsWith('->')),
  )
}

function editLine(
  dice: Dice,
  { stages }: Draft,
  pattern: RegExp,
  replacement: (whole: string, ...groups: string[]) => string,
): string | undefined {
  const places = stages.flatMap(({ lines }) =>
    lines.flatMap((text, at) => (pattern.test(text) ? [{ lines, at }] : [])),
  )
  if (places.length === 0) return undefined
  const { lines, at } = dice.of(places)
  lines[at] = lines[at]!.replace(pattern, replacement)
  return `edit ${lines[at]}`
}

function render({ files, global, stages, project }: Draft): Project {
  const text = stages.map(({ name, base, lines }) =>
    [`FROM ${base}${name === undefined ? '' : ` AS ${name}`}`, ...lines].join('\n'),
  )
  return {
    ...structuredClone(project),
    files: { ...files },
    dockerfile: [...global, ...text].join('\n') + '\n',
    images: { base: 'base', base2: 'base2' },
  }
}
