// The build checks: for every rule what must be told, word for word and at which line, and what must not.
// @see moby/buildkit frontend/dockerfile/linter/ruleset.go, frontend/dockerfile/dockerfile_lint_test.go
import { describe, expect, test } from 'vitest'
import {
  createIgnoreMatcher,
  formatChecks,
  formatChecksJson,
  lintDockerfile,
  type LintOptions,
  parseIgnoreFile,
  type RuleName,
  RULES,
} from '../../src/builder/dockerfile/index.js'

interface Case {
  readonly rule: RuleName
  readonly text: string
  /** `line: detail` of every warning, of this rule and others. */
  readonly want: readonly string[]
  readonly options?: LintOptions
}

const ignore = (text: string): LintOptions => ({ ignore: createIgnoreMatcher(parseIgnoreFile(text)) })
const args = (...pairs: readonly [string, string][]): LintOptions => ({ buildArgs: new Map(pairs) })
const arm64: LintOptions = { images: () => ({ platform: { os: 'linux', architecture: 'arm64' } }) }
const SYNTAX = '# syntax=docker/dockerfile:1\n'
const DESCRIPTIONS = '# check=experimental=InvalidDefinitionDescription\n'
const SIGNALS = 'to prevent unintended behavior related to OS signals'
const ONLY_LAST = 'instructions should not be used in the same stage because only the last one will be used'

const told: readonly Case[] = [
  {
    rule: 'StageNameCasing',
    text: 'FROM a AS Build',
    want: ["1: Stage name 'Build' should be lowercase"],
  },
  {
    rule: 'StageNameCasing',
    text: 'FROM a AS b\nFROM b AS bInary',
    want: ["2: Stage name 'bInary' should be lowercase"],
  },
  {
    rule: 'FromAsCasing',
    text: 'FROM a as b',
    want: ["1: 'as' and 'FROM' keywords' casing do not match"],
  },
  {
    rule: 'FromAsCasing',
    text: 'from a AS b',
    want: ["1: 'AS' and 'from' keywords' casing do not match"],
  },
  { rule: 'FromAsCasing', text: 'FROM a As b', want: ["1: 'As' and 'FROM' keywords' casing do not match"] },
  { rule: 'NoEmptyContinuation', text: 'FROM a\nRUN x \\\n\n y', want: ['4: Empty continuation line'] },
  {
    rule: 'ConsistentInstructionCasing',
    text: 'FROM a\nRun x',
    want: ["2: Command 'Run' should match the case of the command majority (uppercase)"],
  },
  {
    rule: 'ConsistentInstructionCasing',
    text: 'from a\nrun x\nRUN y',
    want: ["3: Command 'RUN' should match the case of the command majority (lowercase)"],
  },
  {
    rule: 'ConsistentInstructionCasing',
    text: 'from a\nRUN x\nWorkDir /',
    want: [
      "1: Command 'from' should match the case of the command majority (uppercase)",
      "3: Command 'WorkDir' should match the case of the command majority (uppercase)",
    ],
  },
  {
    rule: 'DuplicateStageName',
    text: 'FROM a AS b\nFROM a AS b',
    want: ['2: Duplicate stage name "b", stage names should be unique'],
  },
  {
    rule: 'DuplicateStageName',
    text: 'FROM a AS b\nFROM a AS B',
    want: [
      "2: Stage name 'B' should be lowercase",
      '2: Duplicate stage name "b", stage names should be unique',
    ],
  },
  {
    rule: 'ReservedStageName',
    text: 'FROM a AS scratch\nFROM a AS context',
    want: [
      '1: Stage name should not use the same name as reserved stage "scratch"',
      '2: Stage name should not use the same name as reserved stage "context"',
    ],
  },
  {
    rule: 'JSONArgsRecommended',
    text: 'FROM a\nCMD x\nENTRYPOINT y',
    want: [
      `2: JSON arguments recommended for CMD ${SIGNALS}`,
      `3: JSON arguments recommended for ENTRYPOINT ${SIGNALS}`,
    ],
  },
  {
    rule: 'JSONArgsRecommended',
    text: 'FROM a AS b\nSHELL ["/x"]\nFROM a\nCMD x',
    want: [`4: JSON arguments recommended for CMD ${SIGNALS}`],
  },
  {
    rule: 'MaintainerDeprecated',
    text: 'FROM a\nMAINTAINER b',
    want: ['2: Maintainer instruction is deprecated in favor of using label'],
  },
  {
    rule: 'UndefinedArgInFrom',
    text: 'ARG VERSION=1\nFROM a${VERSOIN}',
    want: ["2: FROM argument 'VERSOIN' is not declared (did you mean VERSION?)"],
  },
  {
    rule: 'UndefinedArgInFrom',
    text: 'FROM --platform=$BUILDPLATFORM$BULIDPLATFORM a',
    want: ["1: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"],
  },
  {
    rule: 'UndefinedArgInFrom',
    text: 'FROM a${ZZZZ}',
    want: ["1: FROM argument 'ZZZZ' is not declared"],
  },
  {
    rule: 'WorkdirRelativePath',
    text: 'FROM a\nWORKDIR app/x',
    want: ['2: Relative workdir "app/x" can have unexpected results if the base image changes'],
  },
  {
    rule: 'UndefinedVar',
    text: 'FROM a\nARG DIR_NAME=/x\nCOPY $DIR_NAM .',
    want: ["3: Usage of undefined variable '$DIR_NAM' (did you mean $DIR_NAME?)"],
  },
  {
    rule: 'UndefinedVar',
    text: 'FROM a\nENV A=$B:${C-}\nWORKDIR /$QQQQ\nLABEL a=${C:-1}',
    want: [
      "2: Usage of undefined variable '$B'",
      "2: Usage of undefined variable '$C'",
      "3: Usage of undefined variable '$QQQQ'",
      "4: Usage of undefined variable '$C' (did you mean $A?)",
    ],
  },
  {
    rule: 'UndefinedVar',
    text: 'ARG GLOBAL=1\nFROM a\nLABEL a=$GLOBAL',
    want: ["3: Usage of undefined variable '$GLOBAL'"],
  },
  {
    rule: 'UndefinedVar',
    text: 'FROM a\nENV PATH=$PAHT:/x',
    want: ["2: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
  },
  {
    rule: 'UndefinedVar',
    text: 'FROM a\nCOPY <<A /x\n$ZZZZ\nA',
    want: ["2: Usage of undefined variable '$ZZZZ'"],
  },
  {
    rule: 'UndefinedVar',
    text: 'FROM a\nRUN --mount=type=cache,target=/c/$ZZZZ x',
    want: ["2: Usage of undefined variable '$ZZZZ'"],
  },
  {
    rule: 'MultipleInstructionsDisallowed',
    text: 'FROM a\nCMD ["a"]\nCMD ["b"]\nCMD ["c"]',
    want: [`2: Multiple CMD ${ONLY_LAST}`, `3: Multiple CMD ${ONLY_LAST}`],
  },
  {
    rule: 'MultipleInstructionsDisallowed',
    text: 'FROM a\nENTRYPOINT ["a"]\nHEALTHCHECK NONE\nENTRYPOINT ["b"]\nHEALTHCHECK CMD x',
    want: [`2: Multiple ENTRYPOINT ${ONLY_LAST}`, `3: Multiple HEALTHCHECK ${ONLY_LAST}`],
  },
  {
    rule: 'LegacyKeyValueFormat',
    text: 'FROM a\nENV A b\nLABEL c d',
    want: [
      '2: "ENV key=value" should be used instead of legacy "ENV key value" format',
      '3: "LABEL key=value" should be used instead of legacy "LABEL key value" format',
    ],
  },
  {
    rule: 'InvalidBaseImagePlatform',
    text: 'FROM a',
    options: arm64,
    want: [
      '1: Base image a was pulled with platform "linux/arm64", expected "linux/amd64" for current build',
    ],
  },
  {
    rule: 'RedundantTargetPlatform',
    text: 'FROM --platform=$TARGETPLATFORM a',
    want: [
      '1: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
    ],
  },
  {
    rule: 'SecretsUsedInArgOrEnv',
    text: 'FROM a\nARG npm_TOKEN\nENV DB_PASSWORD=1 A_KEY=2',
    want: [
      '2: Do not use ARG or ENV instructions for sensitive data (ARG "npm_TOKEN")',
      '3: Do not use ARG or ENV instructions for sensitive data (ENV "DB_PASSWORD")',
      '3: Do not use ARG or ENV instructions for sensitive data (ENV "A_KEY")',
    ],
  },
  {
    // Excused by the newest front end only.
    rule: 'SecretsUsedInArgOrEnv',
    text: 'FROM a\nARG PUBLIC_KEY TOKEN_FILE',
    want: ['2: Do not use ARG or ENV instructions for sensitive data (ARG "TOKEN_FILE")'],
  },
  {
    rule: 'InvalidDefaultArgInFrom',
    text: 'ARG TAG\nFROM a:${TAG}',
    options: args(['TAG', '1']),
    want: ['2: Default value for ARG a:${TAG} results in empty or invalid base image name'],
  },
  {
    rule: 'InvalidDefaultArgInFrom',
    text: 'ARG IMAGE\nFROM $IMAGE',
    options: args(['IMAGE', 'a']),
    want: ['2: Default value for ARG $IMAGE results in empty or invalid base image name'],
  },
  {
    rule: 'FromPlatformFlagConstDisallowed',
    text: 'FROM --platform=linux/arm64 a',
    want: ['1: FROM --platform flag should not use constant value "linux/arm64"'],
  },
  {
    rule: 'CopyIgnoredFile',
    text: '# check=experimental=CopyIgnoredFile\nFROM a\nCOPY x/a.md y /z/\nADD ./b.md /z/',
    options: ignore('x\n*.md\n!y'),
    want: ['3: Attempting to Copy file "x/a.md" that is excluded by .dockerignore'],
  },
  {
    rule: 'CopyIgnoredFile',
    text: '# syntax=docker/dockerfile:1\nFROM a\nCOPY x/a.md y /z/\nADD ./b.md /z/',
    options: ignore('x\n*.md'),
    want: [
      '3: Attempting to Copy file "x/a.md" that is excluded by .dockerignore',
      '4: Attempting to Add file "b.md" that is excluded by .dockerignore',
    ],
  },
  {
    rule: 'CopyIgnoredFile',
    text: '# syntax=docker/dockerfile:1\nFROM a\nCOPY . /z/',
    options: ignore('*'),
    want: ['3: Attempting to Copy file "." that is excluded by .dockerignore'],
  },
  {
    rule: 'InvalidDefinitionDescription',
    text: `${DESCRIPTIONS}# the build\nFROM a AS build\n# about\nARG A\n# about\nARG B C`,
    want: [
      '3: Comment for FROM should follow the format: `# build <description>`',
      '5: Comment for ARG should follow the format: `# A <description>`',
      '7: Comment for ARG should follow the format: `# <arg_key> <description>`',
    ],
  },
  {
    rule: 'ExposeProtoCasing',
    text: 'FROM a\nEXPOSE 80/TCP 81/Udp 82/udp',
    want: [
      "2: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
      "2: Defined protocol '81/Udp' in EXPOSE instruction should be lowercase",
    ],
  },
  {
    rule: 'ExposeInvalidFormat',
    text: 'FROM a\nEXPOSE 127.0.0.1:80:80 5000:5000',
    want: [
      "2: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
      "2: EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000'",
    ],
  },
]

const silent: readonly Omit<Case, 'want'>[] = [
  { rule: 'StageNameCasing', text: 'FROM a AS b-1_c.d' },
  { rule: 'FromAsCasing', text: 'FROM a AS b\nFROM c AS d' },
  { rule: 'FromAsCasing', text: 'from a as b' },
  { rule: 'NoEmptyContinuation', text: 'FROM a\nRUN x \\\n# comment\n y' },
  { rule: 'ConsistentInstructionCasing', text: 'arg A=b\nFROM ${A}\nRUN x' },
  { rule: 'DuplicateStageName', text: 'FROM a AS b\nFROM b\nFROM b' },
  { rule: 'ReservedStageName', text: 'FROM scratch AS scratch-2' },
  { rule: 'JSONArgsRecommended', text: 'FROM a\nCMD ["x"]\nENTRYPOINT ["y"]\nRUN z' },
  { rule: 'JSONArgsRecommended', text: 'FROM a\nSHELL ["/bin/bash", "-c"]\nCMD x' },
  { rule: 'JSONArgsRecommended', text: 'FROM a AS b\nSHELL ["/x"]\nFROM b\nCMD x' },
  { rule: 'JSONArgsRecommended', text: 'FROM a\nCMD x', options: { images: () => ({ shell: ['/x'] }) } },
  { rule: 'MaintainerDeprecated', text: 'FROM a\nLABEL maintainer=b' },
  { rule: 'UndefinedArgInFrom', text: 'ARG V=1\nFROM --platform=$BUILDPLATFORM a:$V' },
  { rule: 'UndefinedArgInFrom', text: 'ARG V\nFROM a${V}' },
  { rule: 'WorkdirRelativePath', text: 'FROM a\nWORKDIR /a\nWORKDIR b' },
  { rule: 'WorkdirRelativePath', text: 'FROM a AS b\nWORKDIR /a\nFROM b\nWORKDIR c' },
  { rule: 'UndefinedVar', text: 'FROM a\nARG A\nENV B=$A$PATH\nRUN echo $C\nCMD ["$D"]\nEXPOSE $E' },
  {
    rule: 'UndefinedVar',
    text: 'FROM a\nLABEL a=$TARGETARCH',
    options: { images: () => ({ env: ['TARGETARCH=x'] }) },
  },
  { rule: 'UndefinedVar', text: "FROM a\nLABEL a='$b' c=\\$d e=f" },
  { rule: 'UndefinedVar', text: "FROM a\nCOPY <<'A' /x\n$b\nA" },
  { rule: 'UndefinedVar', text: 'FROM a AS b\nENV C=1\nFROM b\nLABEL d=$C' },
  { rule: 'MultipleInstructionsDisallowed', text: 'FROM a AS b\nCMD ["a"]\nFROM b\nCMD ["c"]' },
  { rule: 'LegacyKeyValueFormat', text: 'FROM a\nENV A=b\nLABEL c="d e"' },
  {
    rule: 'InvalidBaseImagePlatform',
    text: 'FROM a',
    options: { ...arm64, targetPlatform: { os: 'linux', architecture: 'arm64' } },
  },
  { rule: 'InvalidBaseImagePlatform', text: 'FROM scratch', options: arm64 },
  { rule: 'RedundantTargetPlatform', text: 'FROM --platform=$BUILDPLATFORM a' },
  {
    rule: 'RedundantTargetPlatform',
    text: 'FROM --platform=$TARGETOS/$TARGETARCH a',
  },
  {
    rule: 'SecretsUsedInArgOrEnv',
    text: `${SYNTAX}FROM a\nARG PUBLIC_KEY MONKEY TOKEN_FILE\nENV SECRET_VERSION=1 KEYS=2`,
  },
  { rule: 'InvalidDefaultArgInFrom', text: 'ARG TAG=1\nFROM a:${TAG}' },
  { rule: 'InvalidDefaultArgInFrom', text: 'ARG TAG\nFROM a:${TAG:-1}' },
  { rule: 'InvalidDefaultArgInFrom', text: 'ARG TAG\nFROM a${TAG}' },
  { rule: 'FromPlatformFlagConstDisallowed', text: 'FROM --platform=linux/arm64 a AS build-arm64' },
  { rule: 'FromPlatformFlagConstDisallowed', text: 'ARG P=linux/arm64\nFROM --platform=$P a' },
  { rule: 'CopyIgnoredFile', text: 'FROM a\nCOPY x.md /z/', options: ignore('*.md') },
  { rule: 'CopyIgnoredFile', text: `${SYNTAX}FROM a\nCOPY . /z/\nCOPY y /z/`, options: ignore('*.md') },
  { rule: 'CopyIgnoredFile', text: `${SYNTAX}FROM a\nCOPY x.md /z/`, options: ignore('*.md\n!x.md') },
  {
    rule: 'CopyIgnoredFile',
    text: `${SYNTAX}FROM a AS b\nFROM a\nCOPY --from=b x.md /z/`,
    options: ignore('*.md'),
  },
  {
    rule: 'CopyIgnoredFile',
    text: `${SYNTAX}FROM a\nADD https://example.com/x.md /z/`,
    options: ignore('**/*.md'),
  },
  { rule: 'CopyIgnoredFile', text: `${SYNTAX}FROM a\nCOPY <<x.md /z/\nx.md`, options: ignore('*.md') },
  { rule: 'InvalidDefinitionDescription', text: '# the build\nFROM a AS build' },
  {
    rule: 'InvalidDefinitionDescription',
    text: `${DESCRIPTIONS}# build compiles\nFROM a AS build\n# A is it\nARG A\n# other\nRUN x\n# from\nFROM build`,
  },
  { rule: 'ExposeProtoCasing', text: 'FROM a\nEXPOSE 80/tcp 80' },
  { rule: 'ExposeInvalidFormat', text: 'FROM a\nEXPOSE 80 8000-8010/udp' },
]

function lint(text: string, options?: LintOptions): string[] {
  const report = lintDockerfile(text, options)
  expect(report.error).toBeUndefined()
  return report.warnings.map(({ range, detail }) => `${range.start.line}: ${detail}`)
}

test('every rule has something told and something not', () => {
  const rules = Object.keys(RULES).sort()
  expect(rules).toHaveLength(22)
  expect([...new Set(told.map(({ rule }) => rule))].sort()).toEqual(rules)
  expect([...new Set(silent.map(({ rule }) => rule))].sort()).toEqual(rules)
})

describe('told', () => {
  test.each(told)('$rule: $text', ({ rule, text, options, want }) => {
    const report = lintDockerfile(text, options)
    expect(lint(text, options)).toEqual(want)
    const own = report.warnings.filter((warning) => warning.rule === rule)
    expect(own.length).toBeGreaterThan(0)
    for (const { description, url } of own) {
      expect({ description, url }).toEqual({ description: RULES[rule].description, url: RULES[rule].url })
    }
    if (RULES[rule].experimental) return
    // Both spellings of `skip` silence it.
    expect(lint(text, { ...options, check: 'skip=all' })).toEqual([])
    const left = lintDockerfile(text, { ...options, check: `skip=${rule}` }).warnings
    expect(left).toEqual(report.warnings.filter((warning) => warning.rule !== rule))
  })
})

describe('not told', () => {
  test.each(silent)('$rule: $text', ({ text, options }) => expect(lint(text, options)).toEqual([]))
})

// @see moby/buildkit frontend/dockerfile/linter/linter.go
describe('# check=', () => {
  const warned = 'FROM a AS B\nCMD x'
  const names = (text: string, options?: LintOptions): string[] =>
    lintDockerfile(text, options).warnings.map(({ rule }) => rule)

  test.each([
    { directive: 'skip=StageNameCasing', want: ['JSONArgsRecommended'] },
    { directive: 'skip=StageNameCasing,JSONArgsRecommended', want: [] },
    { directive: 'error=false;skip=JSONArgsRecommended', want: ['StageNameCasing'] },
    { directive: 'skip=stagenamecasing', want: ['StageNameCasing', 'JSONArgsRecommended'] },
    { directive: 'skip=none', want: ['StageNameCasing', 'JSONArgsRecommended'] },
    { directive: '', want: ['StageNameCasing', 'JSONArgsRecommended'] },
    { directive: 'experimental=all;skip=all', want: [] },
  ])('$directive', ({ directive, want }) => {
    expect(names(`# check=${directive}\n${warned}`)).toEqual(want)
    // The build argument stands in for the line.
    expect(names(`# check=skip=all\n${warned}`, { check: directive })).toEqual(want)
  })

  test('the line counts up to its first blank, the build argument as a whole', () => {
    const check = 'skip=StageNameCasing, JSONArgsRecommended'
    expect(names(`# check=${check}\n${warned}`)).toEqual(['JSONArgsRecommended'])
    expect(names(warned, { check })).toEqual([])
  })

  test('experimental rules run when named, even if all are skipped', () => {
    const text = '# other\nFROM a AS b'
    expect(names(text)).toEqual([])
    for (const check of [
      'experimental=all',
      'experimental=all;skip=all',
      'experimental=InvalidDefinitionDescription',
    ]) {
      expect(names(text, { check })).toEqual(['InvalidDefinitionDescription'])
    }
  })

  test('CopyIgnoredFile is an experiment of the bundled front end, and of the newest none', () => {
    const text = 'FROM a AS B\nCOPY x /y'
    const named = { ...ignore('x'), check: 'skip=all;experimental=CopyIgnoredFile' }
    expect(names(text, named)).toEqual(['CopyIgnoredFile'])
    expect(names(text, { ...named, check: 'skip=all' })).toEqual([])
    expect(names(SYNTAX + text, named)).toEqual([])
    expect(names(SYNTAX + text, ignore('x'))).toEqual(['StageNameCasing', 'CopyIgnoredFile'])
    expect(names(text, { ...ignore('x'), buildArgs: new Map([['BUILDKIT_SYNTAX', 'a/b']]) })).toEqual([
      'StageNameCasing',
      'CopyIgnoredFile',
    ])
  })

  test.each([
    { directive: 'skip', want: 'invalid check option "skip"' },
    { directive: 'nope=1', want: 'invalid check option "nope"' },
    {
      directive: 'error=maybe',
      want: 'failed to parse check option "error=maybe": strconv.ParseBool: parsing "maybe": invalid syntax',
    },
    { directive: 'skip=a;error=true;experimental=b;x=1', want: undefined },
  ])('$directive is judged', ({ directive, want }) => {
    const { error } = lintDockerfile(`# check=${directive}\nFROM a`)
    expect(error?.message).toBe(want && `failed to parse check options: ${want}`)
  })

  test('an instruction can say what it is excused from, but only to the newest front end', () => {
    expect(lintDockerfile('FROM a\n# check=skip=JSONArgsRecommended\nCMD x').warnings).toHaveLength(1)
    const names = (text: string): string[] => lintDockerfile(SYNTAX + text).warnings.map(({ rule }) => rule)
    expect(names('FROM a\n# check=skip=JSONArgsRecommended\nCMD x')).toEqual([])
    expect(names('FROM a\n# check=skip=JSONArgsRecommended reason: old\nCMD x')).toEqual([])
    expect(names('FROM a\n# check=skip=JSONArgsRecommended\nRUN x\nCMD x')).toEqual(['JSONArgsRecommended'])
    expect(names('FROM a\n# check=skip=MaintainerDeprecated\nMAINTAINER x')).toEqual([])
    // Casing is judged over the whole file.
    expect(names('FROM a\n# check=skip=all\nRun x')).toEqual(['ConsistentInstructionCasing'])
  })

  test('error=true makes violations an error', () => {
    const report = lintDockerfile(`# check=error=true\n${warned}`)
    expect(report.warnings.map(({ rule }) => rule)).toEqual(['StageNameCasing', 'JSONArgsRecommended'])
    expect(report.error?.message).toBe('lint violation found for rules: StageNameCasing, JSONArgsRecommended')
    expect(lintDockerfile('# check=error=true\nFROM a').error).toBeUndefined()
  })
})

describe('which stages', () => {
  const text = [
    'FROM a AS one',
    'CMD x',
    'FROM one AS two',
    'WORKDIR y',
    'FROM a AS three',
    'COPY --from=0 a b',
    'FROM a AS four',
    'RUN --mount=from=two,target=/x z',
    'FROM a AS five',
    'ENV a b',
  ].join('\n')

  test.each([
    { target: undefined, want: [2, 4, 10] },
    { target: 'one', want: [2] },
    { target: 'TWO', want: [2, 4] },
    { target: 'three', want: [2] },
    { target: 'four', want: [2, 4] },
    { target: 'five', want: [10] },
  ])('target $target', ({ target, want }) => {
    const { warnings } = lintDockerfile(text, { target })
    expect(warnings.map(({ range }) => range.start.line)).toEqual(want)
  })

  test('as in a build, only what the last stage needs', () => {
    expect(lintDockerfile(text, { onlyNeeded: true }).warnings.map(({ range }) => range.start.line)).toEqual([
      10,
    ])
  })

  test('an unknown target is an error with a suggestion', () => {
    expect(lintDockerfile(text, { target: 'tow' }).error?.message).toBe(
      'target stage "tow" could not be found (did you mean two?)',
    )
  })

  test('triggers of base images and stages are checked at FROM', () => {
    const images = (): { onBuild: string[] } => ({ onBuild: ['CMD x'] })
    expect(lint('ARG A\nFROM a', { images })).toEqual([`2: JSON arguments recommended for CMD ${SIGNALS}`])
    expect(lint('FROM a AS b\nONBUILD WORKDIR x\nFROM b')).toEqual([
      '3: Relative workdir "x" can have unexpected results if the base image changes',
    ])
  })
})

describe('errors end a check with what is known so far', () => {
  test.each([
    {
      text: 'FROM a AS B\nRUM x',
      want: 'dockerfile parse error on line 2: unknown instruction: RUM (did you mean RUN?)',
      line: 2,
    },
    {
      text: 'FROM a AS B\nCOPY x',
      want: 'dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined',
      line: 2,
    },
    { text: 'FROM a AS B\nSTOPSIGNAL x', want: 'invalid signal: x', line: 2 },
    { text: 'FROM a AS B\nEXPOSE 99999', want: undefined, line: 2 },
    { text: 'FROM a AS B\nENV A=${', want: undefined, line: 2 },
  ])('$text', ({ text, want, line }) => {
    const { warnings, error } = lintDockerfile(text)
    expect(warnings.map(({ rule }) => rule)).toEqual(['StageNameCasing'])
    expect(error?.range?.start.line).toBe(line)
    if (want !== undefined) expect(error?.message).toBe(want)
  })
})

describe('reports', () => {
  const report = lintDockerfile('FROM a AS B\nRUN x \\\n  y\nCMD <z>\n', { file: 'D' })

  test('as text', () => {
    expect(formatChecks(report)).toBe(
      `Check complete, 2 warnings have been found!

WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
Stage name 'B' should be lowercase
D:1
--------------------
   1 | >>> FROM a AS B
   2 |     RUN x \\
   3 |       y
--------------------

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD ${SIGNALS}
D:4
--------------------
   2 |     RUN x \\
   3 |       y
   4 | >>> CMD <z>
   5 |     
--------------------
`,
    )
    expect(formatChecks(lintDockerfile('FROM a'))).toBe('Check complete, no warnings found.\n')
  })

  test('as JSON', () => {
    const json = formatChecksJson(report)
    expect(JSON.parse(json)).toEqual({
      warnings: [
        {
          ruleName: 'StageNameCasing',
          description: 'Stage names should be lowercase',
          url: 'https://docs.docker.com/go/dockerfile/rule/stage-name-casing/',
          detail: "Stage name 'B' should be lowercase",
          location: { ranges: [{ start: { line: 1 }, end: { line: 1 } }] },
        },
        {
          ruleName: 'JSONArgsRecommended',
          description: RULES.JSONArgsRecommended.description,
          url: 'https://docs.docker.com/go/dockerfile/rule/json-args-recommended/',
          detail: `JSON arguments recommended for CMD ${SIGNALS}`,
          location: { ranges: [{ start: { line: 4 }, end: { line: 4 } }] },
        },
      ],
      sources: [{ filename: 'D', language: 'Dockerfile', data: Buffer.from(report.text).toString('base64') }],
    })
    expect(JSON.parse(formatChecksJson(lintDockerfile('FROM a'))).warnings).toBeNull()
  })

  test('a range of several lines is one range per line; errors have theirs', () => {
    const broken = lintDockerfile('FROM a\nWORKDIR \\\n x\nRUM y')
    expect(broken.warnings).toEqual([])
    expect(JSON.parse(formatChecksJson(broken)).buildError).toEqual({
      message: 'dockerfile parse error on line 4: unknown instruction: RUM (did you mean RUN?)',
      location: { ranges: [{ start: { line: 4 }, end: { line: 4 } }] },
    })
    const long = lintDockerfile('FROM a\nWORKDIR \\\n x')
    expect(JSON.parse(formatChecksJson(long)).warnings[0].location.ranges).toEqual([
      { start: { line: 2 }, end: { line: 2 } },
      { start: { line: 3 }, end: { line: 3 } },
    ])
    expect(formatChecks(broken)).toBe(
      `ERROR: dockerfile parse error on line 4: unknown instruction: RUM (did you mean RUN?)
Dockerfile:4
--------------------
   2 |     WORKDIR \\
   3 |      x
   4 | >>> RUM y
--------------------

`,
    )
  })
})
