// What a build writes and prints, as cases for both command lines: `lamella build ARGS context` and `docker buildx build
// ARGS context`, run where the context lies. Everything that is written goes below `out`.
import { FILE_TIME, type FolderText } from './case.js'

export interface OutputCase {
  readonly name: string
  readonly dockerfile?: string
  readonly args: readonly string[]
  /** What `out` has before. */
  readonly before?: FolderText
  /** SOURCE_DATE_EPOCH; default 1700000000. */
  readonly epoch?: number | null
  /** RUN takes place: what each command line prints, and how it ends. BuildKit has a busybox for it. */
  readonly runs?: Readonly<Record<string, readonly [output: string, exitCode: number]>>
  /** Also compare what is printed to stderr. */
  readonly progress?: true
}

/** Of every case. */
export const CONTEXT: FolderText = {
  f: `755 @${FILE_TIME} =f`,
  'd/a': '=1',
  'd/h': 'same=d/a',
  'd/l': '->a',
  'd/up': '->../../../etc',
  'd/s/deep': '4755 =x',
  'd/fifo': 'fifo',
  'e/': '1777',
  '.dockerignore': '=*.log\n',
  'a.log': '=log',
}

export const DOCKERFILE =
  'FROM scratch\nCOPY d /o\nCOPY --chown=5:6 f /x/\nCOPY e /e/\nLABEL a="<&>"\nCMD ["x"]\n'

/** So that all bytes are told: no compressor, no clock. */
const EXACT = 'compression=uncompressed,force-compression=true,rewrite-timestamp=true'
const FILES = ['--metadata-file=out/metadata.json', '--iidfile=out/iid']

const exact = (name: string, spec: string, ...more: string[]): OutputCase => ({
  name,
  args: [`--output=${spec},${EXACT}`, ...more, ...FILES],
})

const local = (name: string, before: FolderText, more: Partial<OutputCase> = {}): OutputCase => ({
  name,
  args: ['--output=type=local,dest=out/tree'],
  before,
  ...more,
})

const ARCHIVES: readonly OutputCase[] = [
  exact('oci', 'type=oci,dest=out/a.tar'),
  exact('docker', 'type=docker,dest=out/a.tar'),
  exact('oci, a name', 'type=oci,dest=out/a.tar,name=app'),
  exact('docker, a name', 'type=docker,dest=out/a.tar,name=app:1'),
  exact('several names', '"name=b,reg.io/x/y:2",type=docker,dest=out/a.tar'),
  exact('a tag goes before a name', 'type=oci,dest=out/a.tar,name=app', '--tag=foo/bar:2', '--tag=baz.io/x'),
  exact('tags of docker', 'type=docker,dest=out/a.tar', '--tag=foo/bar:2', '--tag=baz.io/x', '--tag=c'),
  exact('media types of docker', 'type=oci,dest=out/a.tar,oci-mediatypes=false'),
  exact('media types of oci', 'type=docker,dest=out/a.tar,oci-mediatypes=1'),
  exact(
    'annotations',
    'type=oci,dest=out/a.tar,annotation.x=<&>,annotation-manifest.B=2',
    '--annotation=z=1',
  ),
  exact(
    'annotations of the descriptor',
    'type=oci,dest=out/a.tar,annotation-manifest-descriptor.d=1',
    '--annotation=manifest-descriptor:q=2',
  ),
  exact('annotations of a docker archive', 'type=docker,dest=out/a.tar,annotation.x=1'),
  exact(
    'a descriptor’s annotation makes it OCI',
    'type=docker,dest=out/a.tar,annotation-manifest-descriptor.d=1',
  ),
  exact('an annotation for another platform', 'type=oci,dest=out/a.tar,annotation-manifest[linux/arm64].x=1'),
  exact('a field that nobody knows', 'type=oci,dest=out/a.tar,foo=bar'),
  exact('a quoted field', 'type=oci,dest=out/a.tar,"annotation.x=1,2"'),
  exact('a layout', 'type=oci,dest=out/lay,tar=false'),
  exact('a layout, a name', 'type=oci,dest=out/lay,tar=false,name=app:1'),
  exact('a layout, tags', 'type=oci,dest=out/lay,tar=false', '--tag=b', '--tag=c:3'),
  exact('two outputs', 'type=oci,dest=out/a.tar', `--output=type=docker,dest=out/b.tar,name=b,${EXACT}`),
  exact('refused: a file for the id, an output and a folder', 'type=oci,dest=out/a.tar', '--output=out/tree'),
  {
    name: 'an output and a folder',
    args: [`--output=type=oci,dest=out/a.tar,${EXACT}`, '--output=out/tree'],
  },
  { ...exact('an empty image', 'type=oci,dest=out/a.tar'), dockerfile: 'FROM scratch\n' },
  {
    ...exact('an empty image for docker', 'type=docker,dest=out/a.tar'),
    dockerfile: 'FROM scratch\nENV A=1\n',
  },
  { ...exact('a platform', 'type=oci,dest=out/a.tar', '--platform=linux/arm/v7') },
  ...['gzip', 'zstd'].flatMap((kind) =>
    ['oci', 'docker'].map((type) => ({
      name: `${type}, ${kind}`,
      args: [`--output=type=${type},dest=out/a.tar,compression=${kind},rewrite-timestamp=true`, ...FILES],
    })),
  ),
  {
    name: 'compressed when nothing is said',
    args: ['--output=type=oci,dest=out/a.tar,rewrite-timestamp=true', ...FILES],
  },
  {
    name: 'docker, when nothing is said',
    args: ['--output=type=docker,dest=out/a.tar,rewrite-timestamp=true', ...FILES],
  },
  { name: 'on stdout', args: [`--output=type=oci,dest=-,${EXACT}`] },
  { name: 'on stdout, quiet', args: ['-q', `--output=type=docker,dest=-,${EXACT}`] },
  { name: 'quiet', args: ['-q', `--output=type=oci,dest=out/a.tar,${EXACT}`] },
]

const TREES: readonly OutputCase[] = [
  { name: 'tar', args: ['--output=type=tar,dest=out/root.tar'] },
  { name: 'tar without an epoch', args: ['--output=type=tar,dest=out/root.tar'], epoch: null },
  { name: 'tar on stdout', args: ['--output=-'] },
  { name: 'tar of nothing', args: ['--output=type=tar,dest=out/root.tar'], dockerfile: 'FROM scratch\n' },
  { name: 'a path alone', args: ['--output=out/tree'] },
  { name: 'a path with an equals sign', args: ['--output=out/a=b'] },
  local('local', {}),
  local('local without an epoch', {}, { epoch: null }),
  local('local of nothing', {}, { dockerfile: 'FROM scratch\n' }),
  local('local, what is there stays', { 'tree/keep': '=k', 'tree/o/keep': '=k' }),
  local('local, a file is replaced', { 'tree/o/a': '600 =old', 'tree/x/f': '=old' }),
  local('local, a directory takes the mode', { 'tree/o/': '700', 'tree/e/': '755' }),
  local('local, a directory is replaced by a file', { 'tree/o/a/b/c': '=old' }),
  local('local, a directory is replaced by a link', { 'tree/o/l/b': '=old' }),
  local('local, a file is replaced by a directory', { 'tree/o': '=old' }),
  local('local, a link to a directory is replaced', { 'tree/o': '->../other', 'other/': '' }),
  local('local, a link to a file is replaced', { 'tree/o/a': '->../../victim', victim: '=mine' }),
  local('local, a dangling link is replaced', { 'tree/x/f': '->../../nowhere' }),
  local('local, a link in place of a link', { 'tree/o/l': '->h' }),
  local('local, hard links are parted', { 'tree/o/a': '=old', 'tree/other': 'same=tree/o/a' }),
  local('local, through a link to a folder', { tree: '->real', 'real/keep': '=k' }),
]

const REFUSED: readonly OutputCase[] = [
  'type=local',
  'type=local,dest=-',
  'type=oci,tar=false',
  'type=oci,dest=out/x.tar,tar=maybe',
  'type=oci,dest=out/x.tar,compression=rar',
  'type=nope,dest=out/x',
  'out/a,b',
  'type=oci,"dest=x',
  'type=registry',
].map((spec) => ({ name: `refused: ${spec}`, args: [`--output=${spec}`] }))

const CLASHES: readonly OutputCase[] = [
  { name: 'refused: two on stdout', args: ['--output=-', '--output=type=oci'] },
  { name: 'refused: no image, and a file for its id', args: ['--output=out/tree', '--iidfile=out/iid'] },
  { name: 'refused: a directory is there', args: ['--output=type=oci,dest=out/dir'], before: { 'dir/': '' } },
  { name: 'refused: a file is there', args: ['--output=out/file'], before: { file: '=1' } },
  {
    name: 'refused: an annotation of an index',
    args: ['--output=type=oci,dest=out/a.tar,annotation-index.a=1'],
  },
]

const run = (name: string, lines: readonly string[], more: readonly string[] = []): OutputCase => ({
  name: `run: ${name}`,
  dockerfile: `FROM scratch\nCOPY busybox /bin/sh\n${lines.join('\n')}\n`,
  args: ['--network=none', '--output=type=oci,dest=out/config.tar', ...more],
  runs: {},
})

/** What RUN leaves in config and history. */
const RUNS: readonly OutputCase[] = [
  run('shell form', ['RUN echo  "a  b" $HOME && :']),
  run('exec form', ['RUN ["/bin/sh", "-c", "echo \\"a b\\""]']),
  run(
    'arguments',
    ['ARG A=1', 'ARG B', 'ARG C="x y"', 'RUN echo $A', 'ENV A=2', 'RUN echo $A'],
    ['--build-arg=B=b'],
  ),
  run(
    'arguments that exist by themselves',
    ['ARG TARGETARCH', 'ARG HTTP_PROXY', 'RUN :'],
    ['--build-arg=HTTP_PROXY=http://x'],
  ),
  run('an argument without a value', ['ARG A', 'RUN :']),
  run('the same argument twice', ['ARG A=1', 'RUN :', 'ARG A=2', 'RUN :']),
  run('global arguments', ['ARG G', 'RUN :']),
  run('here-document', ['RUN <<E', 'echo 1', 'echo 2', 'E']),
  run('here-document with a name', ['RUN <<-"E"', '\techo $A', 'E']),
  run('here-document of a command', [
    'RUN cat <<E >/f',
    'a',
    'b',
    'E',
    'RUN cat <<A <<B',
    '1',
    'A',
    '2',
    'B',
  ]),
  run('here-document that is a program', ['RUN <<E', '#!/bin/sh', 'echo 1', 'E']),
  run('mounts', [
    'RUN --mount=type=bind,target=/m --mount=type=cache,target=/c --mount=type=tmpfs,target=/t :',
  ]),
  run('a secret', ['RUN --mount=type=secret,id=s,env=S :']),
  run('network', ['RUN --network=none :', 'RUN --network=default :']),
  run('continuations', ['RUN echo a \\', '  # comment', '  && echo b \\', '', '  && echo c']),
  run('SHELL', ['SHELL ["/bin/sh", "-ec"]', 'RUN : a', 'SHELL ["/bin/sh", "-c"]', 'RUN :']),
  run('USER and WORKDIR', ['WORKDIR /w', 'USER 5:6', 'RUN :']),
  run('ONBUILD stays', ['ONBUILD RUN echo $A', 'RUN :']),
  run('CMD, ENTRYPOINT, HEALTHCHECK', [
    'RUN :',
    'CMD a b',
    'ENTRYPOINT ["e"]',
    'HEALTHCHECK CMD x',
    'STOPSIGNAL 9',
  ]),
  run('odd letters', ['RUN echo "<&>" ü€😀 \\\\ \\t \'$A\'']),
]

const shown = (name: string, dockerfile: string, more: Partial<OutputCase> = {}): OutputCase => ({
  name: `shown: ${name}`,
  dockerfile,
  args: ['--progress=plain', '--network=none', '--output=type=oci,dest=out/config.tar'],
  progress: true,
  ...more,
})

/** What `--progress=plain` prints, and how it ends. */
const SHOWN: readonly OutputCase[] = [
  shown('steps of one stage', DOCKERFILE),
  shown('steps of two stages', 'FROM scratch AS one\nCOPY f /\nFROM scratch\nCOPY --from=one f /g\n'),
  shown('warnings', 'FROM scratch\nENV A=$B\nMAINTAINER me\nCOPY f /\n'),
  shown('output of RUN', 'FROM scratch\nCOPY busybox /bin/sh\nRUN echo hi; echo; echo "  x"; printf last\n', {
    runs: { 'echo hi; echo; echo "  x"; printf last': ['hi\n\n  x\nlast', 0] },
  }),
  shown(
    'a RUN that fails',
    'FROM scratch\nCOPY busybox /bin/sh\nLABEL a=1\n\n# why\nRUN echo no; exit 3\nCMD ["x"]\n\nLABEL b=2\n',
    {
      runs: { 'echo no; exit 3': ['no\n', 3] },
    },
  ),
  shown(
    'a RUN that fails after much output',
    'FROM scratch\nCOPY busybox /bin/sh\nRUN for i in 1 2 3 4 5 6 7 8 9 a b c; do echo $i; done; exit 1\n',
    {
      runs: {
        'for i in 1 2 3 4 5 6 7 8 9 a b c; do echo $i; done; exit 1': [
          '1\n2\n3\n4\n5\n6\n7\n8\n9\na\nb\nc\n',
          1,
        ],
      },
    },
  ),
  shown(
    'a here-document that fails',
    'FROM scratch\nCOPY busybox /bin/sh\nRUN <<E\n:\nexit 7\nE\nCMD ["x"]\n',
    {
      runs: { ':\nexit 7\n': ['', 7] },
    },
  ),
  shown('a source that is ignored', 'FROM scratch\nCOPY a.log /\n'),
  shown('a missing source over three lines', 'FROM scratch\nCOPY nope \\\n  \\\n  /\nLABEL a=1\nLABEL b=1\n'),
  shown('no instruction', 'FROM scratch\nCOPPY a b\n'),
  shown('an unknown flag', 'FROM scratch\nLABEL a=1\nCOPY --lnk=1 f /\n'),
  shown('an empty file', '\n'),
  shown('a violation that is an error', '# check=error=true\nFROM scratch\nMAINTAINER me\n'),
  shown('a target that is missing', 'FROM scratch\n', { args: ['--progress=plain', '--target=nope'] }),
]

export const CASES: readonly OutputCase[] = [...ARCHIVES, ...TREES, ...REFUSED, ...CLASHES, ...RUNS, ...SHOWN]
