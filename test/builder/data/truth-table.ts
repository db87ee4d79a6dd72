// The observed truth table of BuildKit's cache (facts 2.3 [live]): two builds, and whether the marked step of the second is
// found. Trees in the notation of fixtures.ts; `base` is an image with a few files.
import type { BuildOptions } from '../../../src/builder/build.js'
import type { TreeText } from '../fixtures.js'

export interface Side {
  readonly dockerfile?: string
  readonly context?: TreeText
  readonly options?: Partial<BuildOptions>
}

export interface TruthRow {
  readonly change: string
  readonly want: 'hit' | 'miss'
  /** Beginning of the instruction whose outcome counts; default `COPY` or `RUN`, whichever is last. */
  readonly step?: string
  /** Both builds, unless a side says otherwise. */
  readonly dockerfile?: string
  readonly context?: TreeText
  readonly options?: Partial<BuildOptions>
  readonly first?: Side
  readonly second?: Side
}

const F = 'FROM base\n'
const CTX: TreeText = { f1: '=1', f2: '=2', 'd/a': '=a', 'd/l': '->a', 'd/s/b': '=b', x: '=x' }

export const HITS: readonly TruthRow[] = [
  { change: 'mtime of a source', want: 'hit', dockerfile: `${F}COPY f1 /`, first: { context: { f1: '@1 =1' } }, second: { context: { f1: '@2 =1' } } },
  { change: 'mtime inside a directory', want: 'hit', dockerfile: `${F}COPY d /o`, first: { context: { 'd/a': '@1 =1' } }, second: { context: { 'd/a': '@2 =1' } } },
  { change: 'an unrelated file', want: 'hit', dockerfile: `${F}COPY f1 /`, first: { context: CTX }, second: { context: { ...CTX, x: '=changed' } } },
  { change: 'an ignored file', want: 'hit', dockerfile: `${F}COPY . /`, first: { context: { '.dockerignore': '=x\n.dockerignore', x: '=1', y: '=1' } }, second: { context: { '.dockerignore': '=x\n.dockerignore', x: '=2', y: '=1' } } },
  { change: 'an excluded file', want: 'hit', dockerfile: `${F}COPY --exclude=a d /o`, first: { context: { 'd/a': '=1', 'd/b': '=2' } }, second: { context: { 'd/a': '=changed', 'd/b': '=2' } } },
  { change: 'a file that the wildcard does not match', want: 'hit', dockerfile: `${F}COPY f* /o/`, first: { context: CTX }, second: { context: { ...CTX, g: '=new' } } },
  { change: 'the same file under another directory', want: 'hit', context: { 'a/f': '=1', 'b/f': '=1' }, first: { dockerfile: `${F}COPY a/f /o/` }, second: { dockerfile: `${F}COPY b/f /o/` } },
  { change: 'a bind mount\'s source renamed', want: 'hit', context: { 'd/a': '=1', 'e/a': '=1' }, first: { dockerfile: `${F}RUN --mount=source=d,target=/m true` }, second: { dockerfile: `${F}RUN --mount=source=e,target=/m true` } },
  { change: 'the producer stage rewritten, the copied path the same', want: 'hit', step: 'COPY --from', first: { dockerfile: `${F}RUN write /x 1\nFROM scratch\nCOPY --from=0 /x /y` }, second: { dockerfile: `${F}RUN write /z 9; write /x 1\nFROM scratch\nCOPY --from=0 /x /y` } },
  { change: 'the producer stage rewritten, the mounted path the same', want: 'hit', step: 'RUN --mount', first: { dockerfile: `FROM base AS p\nRUN write /x 1\n${F}RUN --mount=from=p,source=/x,target=/m true` }, second: { dockerfile: `FROM base AS p\nRUN write /z 9; write /x 1\n${F}RUN --mount=from=p,source=/x,target=/m true` } },
  { change: 'a stage renamed', want: 'hit', step: 'COPY --from', first: { dockerfile: 'FROM base AS a\nRUN write /x 1\nFROM scratch\nCOPY --from=a /x /y' }, second: { dockerfile: 'FROM base AS b\nRUN write /x 1\nFROM scratch\nCOPY --from=b /x /y' } },
  { change: 'a comment', want: 'hit', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `# hi\n${F}# ho\nRUN true` } },
  { change: 'LABEL, EXPOSE, CMD in between', want: 'hit', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `${F}LABEL a=1\nEXPOSE 1\nCMD x\nRUN true` } },
  { change: 'ENV before a COPY', want: 'hit', context: CTX, first: { dockerfile: `${F}COPY f1 /` }, second: { dockerfile: `${F}ENV A=1\nCOPY f1 /` } },
  { change: 'ENV set twice to the old value', want: 'hit', first: { dockerfile: `${F}ENV A=1\nRUN true` }, second: { dockerfile: `${F}ENV A=2\nENV A=1\nRUN true` } },
  { change: 'shell form against the same argv in exec form', want: 'hit', first: { dockerfile: `${F}RUN true x` }, second: { dockerfile: `${F}RUN ["/bin/sh", "-c", "true x"]` } },
  { change: 'an undeclared build-arg', want: 'hit', dockerfile: `${F}RUN true`, second: { options: { buildArgs: { A: '1' } } } },
  { change: 'an ARG that is declared later', want: 'hit', step: 'RUN true a', dockerfile: `${F}RUN true a\nARG A\nRUN true b`, first: { options: { buildArgs: { A: '1' } } }, second: { options: { buildArgs: { A: '2' } } } },
  { change: 'HTTP_PROXY', want: 'hit', dockerfile: `${F}RUN true`, second: { options: { buildArgs: { HTTP_PROXY: 'http://p' } } } },
  { change: 'the id of a cache mount', want: 'hit', first: { dockerfile: `${F}RUN --mount=type=cache,id=a,target=/c true` }, second: { dockerfile: `${F}RUN --mount=type=cache,id=b,target=/c true` } },
  { change: 'the value of a secret', want: 'hit', dockerfile: `${F}RUN --mount=type=secret,id=k true`, first: { options: { secrets: { k: '1' } } }, second: { options: { secrets: { k: '2' } } } },
  { change: 'a secret that was absent', want: 'hit', dockerfile: `${F}RUN --mount=type=secret,id=k true`, second: { options: { secrets: { k: '2' } } } },
  { change: 'the delimiter of RUN\'s here-document', want: 'hit', first: { dockerfile: `${F}RUN <<A\ntrue\nA` }, second: { dockerfile: `${F}RUN <<B\ntrue\nB` } },
  { change: 'a named symlink retargeted to equal content', want: 'hit', dockerfile: `${F}COPY l /o/`, first: { context: { a: '=1', b: '=1', l: '->a' } }, second: { context: { a: '=1', b: '=1', l: '->b' } } },
  { change: '.dockerignore edited when it ignores itself', want: 'hit', dockerfile: `${F}COPY . /`, first: { context: { '.dockerignore': '=.dockerignore', y: '=1' } }, second: { context: { '.dockerignore': '=.dockerignore\nz', y: '=1' } } },
  { change: 'nothing', want: 'hit', dockerfile: `${F}COPY . /\nRUN true`, context: CTX },
  { change: 'the folder of the context', want: 'hit', dockerfile: `${F}COPY d /o`, first: { context: CTX }, second: { context: { ...CTX, f1: '=other', g: '=new' } } },
  { change: 'case of the keyword, flags in another order', want: 'hit', context: CTX, first: { dockerfile: `${F}COPY --chown=1:2 --chmod=600 f1 /` }, second: { dockerfile: `${F}copy --chmod=600 --chown=1:2 f1 /` } },
  { change: 'VOLUME, HEALTHCHECK, STOPSIGNAL before RUN', want: 'hit', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `${F}VOLUME /v\nHEALTHCHECK NONE\nSTOPSIGNAL 9\nRUN true` } },
]

export const MISSES: readonly TruthRow[] = [
  { change: 'mode of a file', want: 'miss', dockerfile: `${F}COPY f1 /`, first: { context: { f1: '=1' } }, second: { context: { f1: '755 =1' } } },
  { change: 'content of a file', want: 'miss', dockerfile: `${F}COPY f1 /`, first: { context: { f1: '=1' } }, second: { context: { f1: '=2' } } },
  { change: 'content below a directory', want: 'miss', dockerfile: `${F}COPY d /o`, first: { context: CTX }, second: { context: { ...CTX, 'd/s/b': '=changed' } } },
  { change: 'base name', want: 'miss', context: { a: '=1', b: '=1' }, first: { dockerfile: `${F}COPY a /o/` }, second: { dockerfile: `${F}COPY b /o/` } },
  { change: 'directory name', want: 'miss', context: { 'a/f': '=1', 'b/f': '=1' }, first: { dockerfile: `${F}COPY a /o` }, second: { dockerfile: `${F}COPY b /o` } },
  { change: 'destination', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f1 /a` }, second: { dockerfile: `${F}COPY f1 /b` } },
  { change: 'destination by its slash', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f1 /a` }, second: { dockerfile: `${F}COPY f1 /a/` } },
  { change: '--chown', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f1 /` }, second: { dockerfile: `${F}COPY --chown=1 f1 /` } },
  { change: '--chmod', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f1 /` }, second: { dockerfile: `${F}COPY --chmod=600 f1 /` } },
  { change: 'a wildcard spelled differently', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f* /o/` }, second: { dockerfile: `${F}COPY f? /o/` } },
  { change: 'f1 against f1*', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f1 /o/` }, second: { dockerfile: `${F}COPY f1* /o/` } },
  { change: 'a file added to a match', want: 'miss', dockerfile: `${F}COPY f* /o/`, first: { context: CTX }, second: { context: { ...CTX, f3: '=3' } } },
  { change: 'a file added to a directory', want: 'miss', dockerfile: `${F}COPY d /o`, first: { context: CTX }, second: { context: { ...CTX, 'd/z': '=3' } } },
  { change: 'a file removed from a directory', want: 'miss', dockerfile: `${F}COPY d /o`, first: { context: { 'd/a': '=1', 'd/b': '=2' } }, second: { context: { 'd/a': '=1' } } },
  { change: 'a file renamed in a directory', want: 'miss', dockerfile: `${F}COPY d /o`, first: { context: { 'd/a': '=1' } }, second: { context: { 'd/b': '=1' } } },
  { change: 'a symlink inside a directory retargeted', want: 'miss', dockerfile: `${F}COPY d /o`, first: { context: { 'd/l': '->a' } }, second: { context: { 'd/l': '->b' } } },
  { change: 'one more blank in RUN', want: 'miss', first: { dockerfile: `${F}RUN true x` }, second: { dockerfile: `${F}RUN true  x` } },
  { change: 'ENV before RUN', want: 'miss', first: { dockerfile: `${F}ENV A=1\nRUN true` }, second: { dockerfile: `${F}ENV A=2\nRUN true` } },
  { change: 'ENV in another order before RUN', want: 'miss', first: { dockerfile: `${F}ENV A=1\nENV B=2\nRUN true` }, second: { dockerfile: `${F}ENV B=2\nENV A=1\nRUN true` } },
  { change: 'a declared ARG before RUN', want: 'miss', dockerfile: `${F}ARG A\nRUN true`, first: { options: { buildArgs: { A: '1' } } }, second: { options: { buildArgs: { A: '2' } } } },
  { change: 'an ARG that RUN does not use', want: 'miss', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `${F}ARG A=1\nRUN true` } },
  { change: 'WORKDIR before RUN', want: 'miss', first: { dockerfile: `${F}WORKDIR /a\nRUN true` }, second: { dockerfile: `${F}WORKDIR /b\nRUN true` } },
  { change: 'USER before RUN', want: 'miss', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `${F}USER 1\nRUN true` } },
  { change: 'SHELL before RUN', want: 'miss', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `${F}SHELL ["/bin/bash", "-c"]\nRUN true` } },
  { change: 'a cache mount added', want: 'miss', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `${F}RUN --mount=type=cache,target=/c true` } },
  { change: 'the target of a cache mount', want: 'miss', first: { dockerfile: `${F}RUN --mount=type=cache,target=/c true` }, second: { dockerfile: `${F}RUN --mount=type=cache,target=/d true` } },
  { change: 'the size of a tmpfs', want: 'miss', first: { dockerfile: `${F}RUN --mount=type=tmpfs,target=/t,size=1m true` }, second: { dockerfile: `${F}RUN --mount=type=tmpfs,target=/t,size=2m true` } },
  { change: 'content of a bind mount', want: 'miss', dockerfile: `${F}RUN --mount=source=d,target=/m true`, first: { context: CTX }, second: { context: { ...CTX, 'd/a': '=changed' } } },
  { change: 'the network of RUN', want: 'miss', first: { dockerfile: `${F}RUN true` }, second: { dockerfile: `${F}RUN --network=none true` } },
  { change: 'an earlier layer of the stage, for COPY', want: 'miss', context: CTX, first: { dockerfile: `${F}RUN true a\nCOPY f1 /` }, second: { dockerfile: `${F}RUN true b\nCOPY f1 /` } },
  { change: 'an earlier layer of the stage, for RUN', want: 'miss', dockerfile: `${F}COPY f1 /\nRUN true`, first: { context: CTX }, second: { context: { ...CTX, f1: '=changed' } } },
  { change: 'the order of COPYs', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f1 /\nCOPY f2 /` }, second: { dockerfile: `${F}COPY f2 /\nCOPY f1 /` } },
  { change: 'the order of sources', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY f1 f2 /o/` }, second: { dockerfile: `${F}COPY f2 f1 /o/` } },
  { change: '.dockerignore edited under COPY .', want: 'miss', dockerfile: `${F}COPY . /`, first: { context: { '.dockerignore': '=a', y: '=1' } }, second: { context: { '.dockerignore': '=b', y: '=1' } } },
  { change: 'the delimiter of COPY\'s here-document', want: 'miss', first: { dockerfile: `${F}COPY <<A /o/\nx\nA` }, second: { dockerfile: `${F}COPY <<B /o/\nx\nB` } },
  { change: 'content of a COPY here-document', want: 'miss', first: { dockerfile: `${F}COPY <<A /o/\nx\nA` }, second: { dockerfile: `${F}COPY <<A /o/\ny\nA` } },
  { change: '--exclude added', want: 'miss', context: CTX, first: { dockerfile: `${F}COPY d /o` }, second: { dockerfile: `${F}COPY --exclude=zzz d /o` } },
  { change: 'SOURCE_DATE_EPOCH for COPY', want: 'miss', dockerfile: `${F}COPY f1 /`, context: CTX, first: { options: { sourceDateEpoch: 1 } }, second: { options: { sourceDateEpoch: 2 } } },
  { change: 'the user of WORKDIR', want: 'miss', step: 'WORKDIR', first: { dockerfile: `${F}WORKDIR /w` }, second: { dockerfile: `${F}USER 5\nWORKDIR /w` } },
  { change: '--no-cache', want: 'miss', dockerfile: `${F}RUN true`, second: { options: { noCache: true } } },
  { change: '--no-cache-filter of this stage', want: 'miss', dockerfile: 'FROM base AS a\nRUN true', second: { options: { noCacheFilter: ['A'] } } },
]

export const MORE_HITS: readonly TruthRow[] = [
  { change: '--no-cache-filter of another stage', want: 'hit', step: 'RUN true b', dockerfile: 'FROM base AS a\nRUN true a\nFROM base AS b\nRUN true b\nCOPY --from=a / /x', second: { options: { noCacheFilter: ['a'] } } },
  { change: 'ADD against ADD of the same content elsewhere', want: 'hit', context: { 'a/f': '=1', 'b/f': '=1' }, first: { dockerfile: `${F}ADD a/f /o/` }, second: { dockerfile: `${F}ADD b/f /o/` } },
  { change: 'a COPY --link after a changed RUN', want: 'hit', step: 'COPY --link', context: CTX, first: { dockerfile: `${F}RUN true a\nCOPY --link f1 /o/` }, second: { dockerfile: `${F}RUN true b\nCOPY --link f1 /o/` } },
]
