// COPY and ADD: what stands in the context and in the image, the instruction, and what must stand in the image afterwards.
// Every row is derived from the rule it names (facts 1.6; fsutil = tonistiigi/fsutil copy/copy.go; backend = moby/buildkit
// solver/llbsolver/file/backend.go). Trees in the notation of fixtures.ts.
import type { TreeText } from '../fixtures.js'

export interface CopyRow {
  readonly rule: string
  /** Instructions after FROM; `FROM base` when the row has a base, else `FROM scratch`. A line `FROM …` starts a stage. */
  readonly lines: string
  readonly context?: TreeText
  readonly base?: TreeText
  /** The whole tree; entries of `base` included. */
  readonly want?: TreeText
  readonly error?: { readonly code: string; readonly message?: RegExp }
  /** Compare times as well. */
  readonly times?: true
}

const PASSWD = '=root:x:0:0:root:/root:/bin/sh\nann:x:500:600::/home/ann:/bin/sh\nbob:x:501:501::/:/bin/sh\n'
const GROUP = '=root:x:0:\nstaff:x:50:ann\n'
const CTX: TreeText = {
  f1: '=1',
  f2: '=2',
  'd/a': '=a',
  'd/l': '->a',
  'd/s/b': '=b',
  'e/': '',
}

export const COPY_ROWS: readonly CopyRow[] = [
  // --- destination: file sources -------------------------------------------------------------------------------------
  { rule: 'file to a new name', lines: 'COPY f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'file to a new name below missing parents', lines: 'COPY f1 /p/q/x', context: CTX, want: { 'p/': '', 'p/q/': '', 'p/q/x': '=1' } },
  { rule: 'trailing slash: into a directory that is made', lines: 'COPY f1 /o/', context: CTX, want: { 'o/': '', 'o/f1': '=1' } },
  { rule: 'trailing /. is a directory too', lines: 'COPY f1 /o/.', context: CTX, want: { 'o/': '', 'o/f1': '=1' } },
  { rule: 'file onto an existing directory goes inside', lines: 'COPY f1 /o', context: CTX, base: { 'o/': '' }, want: { 'o/': '', 'o/f1': '=1' } },
  { rule: 'file over a file replaces it with mode and owner', lines: 'COPY f1 /o', context: { f1: '600 =1' }, base: { o: '755 7:8 =old' }, want: { o: '600 =1' } },
  { rule: 'relative destination on scratch starts at /', lines: 'COPY f1 x', context: CTX, want: { x: '=1' } },
  { rule: 'relative destination below WORKDIR', lines: 'WORKDIR /w\nCOPY f1 x', context: CTX, want: { 'w/': '', 'w/x': '=1' } },
  { rule: '. is the working directory', lines: 'WORKDIR /w\nCOPY f1 .', context: CTX, want: { 'w/': '', 'w/f1': '=1' } },
  { rule: './ is the working directory', lines: 'WORKDIR /w\nCOPY f1 ./', context: CTX, want: { 'w/': '', 'w/f1': '=1' } },
  { rule: 'destination is cleaned', lines: 'COPY f1 /a/../b//./x', context: CTX, want: { 'b/': '', 'b/x': '=1' } },
  { rule: 'destination above the root is clamped', lines: 'COPY f1 /../../x', context: CTX, want: { x: '=1' } },
  { rule: 'relative destination above the working directory', lines: 'WORKDIR /w/v\nCOPY f1 ../x', context: CTX, want: { 'w/': '', 'w/v/': '', 'w/x': '=1' } },
  { rule: 'several files into a directory', lines: 'COPY f1 f2 /o/', context: CTX, want: { 'o/': '', 'o/f1': '=1', 'o/f2': '=2' } },
  { rule: 'several files without trailing slash: last wins, a file [live]', lines: 'COPY f1 f2 /o', context: CTX, want: { o: '=2' } },
  { rule: 'several files onto an existing directory go inside', lines: 'COPY f1 f2 /o', context: CTX, base: { 'o/': '' }, want: { 'o/': '', 'o/f1': '=1', 'o/f2': '=2' } },
  { rule: 'file and directory sources mixed', lines: 'COPY f1 d /o/', context: CTX, want: { 'o/': '', 'o/f1': '=1', 'o/a': '=a', 'o/l': '->a', 'o/s/': '', 'o/s/b': '=b' } },
  { rule: 'same name twice: the later one stays', lines: 'COPY d/a x/a /o/', context: { 'd/a': '=1', 'x/a': '=2' }, want: { 'o/': '', 'o/a': '=2' } },
  { rule: 'JSON form: names with blanks', lines: 'COPY ["my file", "/o/a b"]', context: { 'my file': '=1' }, want: { 'o/': '', 'o/a b': '=1' } },
  { rule: 'names that are not ASCII', lines: 'COPY naïve /ö/', context: { naïve: '=1' }, want: { 'ö/': '', 'ö/naïve': '=1' } },
  { rule: 'an empty file', lines: 'COPY f /f', context: { f: '=' }, want: { f: '=' } },
  { rule: 'variables in paths', lines: 'ENV A=f1 B=/o\nCOPY $A ${B}/x', context: CTX, want: { 'o/': '', 'o/x': '=1' } },

  // --- sources: where they are looked for ----------------------------------------------------------------------------
  { rule: 'leading slash of a source means the context', lines: 'COPY /f1 /x', context: CTX, want: { x: '=1' } },
  { rule: '../ of a source is clamped [live]', lines: 'COPY ../../f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'd/../f1 is cleaned', lines: 'COPY d/../f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'trailing slash of a file source is ignored [live]', lines: 'COPY f1/ /x', context: CTX, want: { x: '=1' } },
  { rule: 'a missing source', lines: 'COPY nope /x', context: CTX, error: { code: 'SOURCE_NOT_FOUND', message: /"\/nope": not found/ } },
  { rule: 'one of several plain sources missing', lines: 'COPY f1 nope /o/', context: CTX, error: { code: 'SOURCE_NOT_FOUND' } },
  { rule: 'a source above the context is looked for inside it', lines: 'COPY ../etc/passwd /x', context: CTX, error: { code: 'PATH_ESCAPES_CONTEXT', message: /"\/etc\/passwd": not found/ } },
  { rule: 'a file used as a directory', lines: 'COPY f1/x /x', context: CTX, error: { code: 'SOURCE_NOT_FOUND' } },

  // --- directory sources ---------------------------------------------------------------------------------------------
  { rule: 'directory: its contents, to a name', lines: 'COPY d /o', context: CTX, want: { 'o/': '', 'o/a': '=a', 'o/l': '->a', 'o/s/': '', 'o/s/b': '=b' } },
  { rule: 'directory with trailing slash: the same', lines: 'COPY d/ /o/', context: CTX, want: { 'o/': '', 'o/a': '=a', 'o/l': '->a', 'o/s/': '', 'o/s/b': '=b' } },
  { rule: 'the whole context', lines: 'COPY . /', context: { a: '=1', 'b/c': '=2' }, want: { a: '=1', 'b/': '', 'b/c': '=2' } },
  { rule: 'an empty directory makes the destination', lines: 'COPY e /o', context: CTX, want: { 'o/': '' } },
  { rule: 'directory contents are merged into what is there', lines: 'COPY d /o', context: CTX, base: { 'o/s/x': '=x', 'o/a': '=old' }, want: { 'o/': '', 'o/a': '=a', 'o/l': '->a', 'o/s/': '', 'o/s/b': '=b', 'o/s/x': '=x' } },
  { rule: 'two directories into one', lines: 'COPY d g /o/', context: { 'd/a': '=1', 'g/b': '=2' }, want: { 'o/': '', 'o/a': '=1', 'o/b': '=2' } },
  { rule: 'the top does not give its mode or owner to a new destination [live]', lines: 'COPY --from=base /d /o', base: { 'd/': '700 5:6', 'd/a': '5:6 =1' }, want: { 'd/': '700 5:6', 'd/a': '5:6 =1', 'o/': '', 'o/a': '5:6 =1' } },
  { rule: 'the top does not change an existing destination', lines: 'COPY d /o', context: { 'd/': '700', 'd/a': '=1' }, base: { 'o/': '711 3:4' }, want: { 'o/': '711 3:4', 'o/a': '=1' } },
  { rule: 'nested directories give mode and owner even when they exist [live]', lines: 'COPY d /o', context: { 'd/s/': '700', 'd/s/a': '=1' }, base: { 'o/s/': '711 3:4' }, want: { 'o/': '', 'o/s/': '700', 'o/s/a': '=1' } },
  { rule: 'deep trees', lines: 'COPY d /o', context: { 'd/1/2/3/4/5/f': '=x' }, want: { 'o/': '', 'o/1/': '', 'o/1/2/': '', 'o/1/2/3/': '', 'o/1/2/3/4/': '', 'o/1/2/3/4/5/': '', 'o/1/2/3/4/5/f': '=x' } },
  { rule: 'dot files come along', lines: 'COPY d /o', context: { 'd/.a': '=1', 'd/.b/c': '=2' }, want: { 'o/': '', 'o/.a': '=1', 'o/.b/': '', 'o/.b/c': '=2' } },

  // --- wildcards -----------------------------------------------------------------------------------------------------
  { rule: '* matches within one component', lines: 'COPY f* /o/', context: CTX, want: { 'o/': '', 'o/f1': '=1', 'o/f2': '=2' } },
  { rule: '? matches one character', lines: 'COPY f? /o/', context: { ...CTX, f10: '=10' }, want: { 'o/': '', 'o/f1': '=1', 'o/f2': '=2' } },
  { rule: '[..] matches a class', lines: 'COPY f[2-9] /o/', context: CTX, want: { 'o/': '', 'o/f2': '=2' } },
  { rule: '[^..] negates a class', lines: 'COPY f[^1] /o/', context: CTX, want: { 'o/': '', 'o/f2': '=2' } },
  { rule: 'no match at all: nothing, not even the destination [live]', lines: 'COPY z* /o/', context: CTX, want: {} },
  { rule: 'no match beside a plain source', lines: 'COPY z* f1 /o/', context: CTX, want: { 'o/': '', 'o/f1': '=1' } },
  { rule: '* does not cross /', lines: 'COPY */a /o/', context: CTX, want: { 'o/': '', 'o/a': '=a' } },
  { rule: 'd/*: matched sub-directories are flattened [live]', lines: 'COPY d/* /o/', context: CTX, want: { 'o/': '', 'o/a': '=a', 'o/l': '=a', 'o/b': '=b' } },
  { rule: '* matches dot files too (Go)', lines: 'COPY * /o/', context: { '.x': '=1', y: '=2' }, want: { 'o/': '', 'o/.x': '=1', 'o/y': '=2' } },
  { rule: '** is like *', lines: 'COPY d/** /o/', context: { 'd/a': '=1', 'd/s/b': '=2' }, want: { 'o/': '', 'o/a': '=1', 'o/b': '=2' } },
  { rule: 'wildcard in the middle', lines: 'COPY */s/b /o/', context: CTX, want: { 'o/': '', 'o/b': '=b' } },
  { rule: 'one match to a name: a file', lines: 'COPY f[1] /x', context: CTX, want: { x: '=1' } },
  { rule: 'several matches to a name: the last in byte order', lines: 'COPY f* /x', context: CTX, want: { x: '=2' } },
  { rule: 'the package* idiom', lines: 'WORKDIR /w\nCOPY package* .', context: { 'package.json': '=1', 'package-lock.json': '=2', src: '=3' }, want: { 'w/': '', 'w/package.json': '=1', 'w/package-lock.json': '=2' } },
  { rule: 'a matched directory is not looked into', lines: 'COPY d* /o/', context: { 'd/d1': '=1', d2: '=2' }, want: { 'o/': '', 'o/d1': '=1', 'o/d2': '=2' } },
  { rule: 'fixed part of a wildcard that does not exist', lines: 'COPY nope/* /o/', context: CTX, error: { code: 'SOURCE_NOT_FOUND' } },
  { rule: 'an escaped wildcard matches itself within a pattern', lines: 'COPY ["a\\\\\\\\*?", "/o/"]', context: { 'a*1': '=1', ab1: '=2' }, want: { 'o/': '', 'o/a*1': '=1' } },

  // --- symlinks in sources -------------------------------------------------------------------------------------------
  { rule: 'a symlink named as source is followed, under its own name [live]', lines: 'COPY d/l /o/', context: CTX, want: { 'o/': '', 'o/l': '=a' } },
  { rule: 'a symlink to a directory named as source: contents', lines: 'COPY ld /o/', context: { 'd/a': '=1', ld: '->d' }, want: { 'o/': '', 'o/a': '=1' } },
  { rule: 'symlinks inside a directory stay', lines: 'COPY d /o', context: { 'd/l': '->../f', 'd/abs': '->/etc/x', 'd/dangling': '->nope' }, want: { 'o/': '', 'o/l': '->../f', 'o/abs': '->/etc/x', 'o/dangling': '->nope' } },
  { rule: 'a dangling symlink as source is not found [live]', lines: 'COPY l /x', context: { l: '->nope' }, error: { code: 'SOURCE_NOT_FOUND' } },
  { rule: 'an absolute target is inside the context', lines: 'COPY l /x', context: { l: '->/f', f: '=1' }, want: { x: '=1' } },
  { rule: 'a target above the context is clamped', lines: 'COPY l /x', context: { l: '->../../f', f: '=1' }, want: { x: '=1' } },
  { rule: 'a symlink on the way to the source', lines: 'COPY ld/a /x', context: { 'd/a': '=1', ld: '->d' }, want: { x: '=1' } },
  { rule: 'a loop of symlinks', lines: 'COPY l /x', context: { l: '->m', m: '->l' }, error: { code: 'SOURCE_NOT_FOUND' } },
  { rule: 'a wildcard match that is a symlink is followed', lines: 'COPY l* /o/', context: { l1: '->f', f: '=1' }, want: { 'o/': '', 'o/l1': '=1' } },

  // --- symlinks in destinations --------------------------------------------------------------------------------------
  { rule: 'a symlink on the way is followed inside the root', lines: 'COPY f1 /l/x', context: CTX, base: { 'o/': '', l: '->o' }, want: { 'o/': '', 'o/x': '=1', l: '->o' } },
  { rule: 'an absolute symlink on the way', lines: 'COPY f1 /l/x', context: CTX, base: { 'a/o/': '', l: '->/a/o' }, want: { 'a/': '', 'a/o/': '', 'a/o/x': '=1', l: '->/a/o' } },
  { rule: 'a destination that is a link to a directory', lines: 'COPY d /l', context: { 'd/a': '=1' }, base: { 'o/': '', l: '->o' }, want: { 'o/': '', 'o/a': '=1', l: '->o' } },
  { rule: 'a destination that is a link to a file writes through [live]', lines: 'COPY f1 /l', context: CTX, base: { t: '=old', l: '->t' }, want: { t: '=1', l: '->t' } },
  { rule: 'a dangling destination link: its target is made', lines: 'COPY f1 /l', context: CTX, base: { l: '->t' }, want: { t: '=1', l: '->t' } },
  { rule: 'a file over a link inside a directory replaces the link [live]', lines: 'COPY d /o', context: { 'd/a': '=1' }, base: { t: '=t', 'o/a': '->../t' }, want: { t: '=t', 'o/': '', 'o/a': '=1' } },
  { rule: 'a file into a directory over a link of its name replaces the link', lines: 'COPY f1 /o/', context: CTX, base: { t: '=t', 'o/f1': '->../t' }, want: { t: '=t', 'o/': '', 'o/f1': '=1' } },
  { rule: 'a directory over a link to a directory [live]', lines: 'COPY d /o', context: { 'd/s/a': '=1' }, base: { 't/': '', 'o/s': '->../t' }, error: { code: 'COPY_CONFLICT', message: /cannot copy to non-directory: \/o\/s/ } },
  { rule: 'a link over a file', lines: 'COPY d /o', context: { 'd/l': '->x' }, base: { 'o/l': '=1' }, want: { 'o/': '', 'o/l': '->x' } },

  // --- conflicts -----------------------------------------------------------------------------------------------------
  { rule: 'directory onto file', lines: 'COPY d /o', context: CTX, base: { o: '=1' }, error: { code: 'COPY_CONFLICT' } },
  { rule: 'nested directory onto file', lines: 'COPY d /o', context: { 'd/s/a': '=1' }, base: { 'o/s': '=1' }, error: { code: 'COPY_CONFLICT', message: /cannot copy to non-directory: \/o\/s/ } },
  { rule: 'file onto directory inside a merge', lines: 'COPY d /o', context: { 'd/a': '=1' }, base: { 'o/a/': '' }, error: { code: 'COPY_CONFLICT', message: /cannot replace to directory \/o\/a with file/ } },
  { rule: 'a file where a parent must be', lines: 'COPY f1 /o/x', context: CTX, base: { o: '=1' }, error: { code: 'COPY_CONFLICT', message: /not a directory/ } },
  { rule: 'trailing slash onto a file', lines: 'COPY f1 /o/', context: CTX, base: { o: '=1' }, error: { code: 'COPY_CONFLICT', message: /not a directory/ } },

  // --- metadata ------------------------------------------------------------------------------------------------------
  { rule: 'modes are kept, set-id too', lines: 'COPY d /o', context: { 'd/x': '755 =1', 'd/s': '4755 =2', 'd/g': '2711 =3', 'd/p': '000 =4' }, want: { 'o/': '', 'o/x': '755 =1', 'o/s': '4755 =2', 'o/g': '2711 =3', 'o/p': '0 =4' } },
  { rule: 'sticky and set-gid directories', lines: 'COPY d /o', context: { 'd/t/': '1777', 'd/g/': '2755' }, want: { 'o/': '', 'o/t/': '1777', 'o/g/': '2755' } },
  { rule: 'a stage keeps owners', lines: 'COPY --from=base /a /o/', base: { a: '7:8 =1' }, want: { a: '7:8 =1', 'o/': '', 'o/a': '7:8 =1' } },
  { rule: 'hard links within one COPY stay linked', lines: 'COPY d /o', context: { 'd/a': '=1', 'd/b': 'same=d/a', 'd/s/c': 'same=d/a' }, want: { 'o/': '', 'o/a': '=1', 'o/b': 'same=o/a', 'o/s/': '', 'o/s/c': 'same=o/a' } },
  { rule: 'hard links of different sources are not linked', lines: 'COPY a b /o/', context: { a: '=1', b: 'same=a' }, want: { 'o/': '', 'o/a': '=1', 'o/b': '=1' } },
  { rule: 'one name of a hard link copied alone', lines: 'COPY a /o/', context: { a: '=1', b: 'same=a' }, want: { 'o/': '', 'o/a': '=1' } },
  { rule: 'overwriting one name of a hard link leaves the other', lines: 'COPY f1 /a', context: CTX, base: { a: '=old', b: 'same=a' }, want: { a: '=1', b: '=old' } },
  { rule: 'FIFOs and devices are copied', lines: 'COPY --from=base /d /o', base: { 'd/p': 'fifo 600', 'd/n': 'char=1:3 666' }, want: { 'd/': '', 'd/p': '600 fifo', 'd/n': '666 char=1:3', 'o/': '', 'o/p': '600 fifo', 'o/n': '666 char=1:3' } },
  { rule: 'times: files keep theirs, made parents have now', lines: 'COPY f /p/q/', context: { f: '@100 =1' }, want: { 'p/': '@now', 'p/q/': '@now', 'p/q/f': '@100 =1' }, times: true },
  { rule: 'times: the top of a directory source gives its own [live]', lines: 'COPY d /o', context: { 'd/': '@50', 'd/a': '@60 =1', 'd/s/': '@70', 'd/s/b': '@80 =2' }, want: { 'o/': '@50', 'o/a': '@60 =1', 'o/s/': '@70', 'o/s/b': '@80 =2' }, times: true },
  { rule: 'times: an existing directory takes the source\'s after the merge', lines: 'COPY d /o', context: { 'd/': '@50', 'd/a': '@60 =1' }, base: { 'o/': '@5', 'o/z': '@6 =z' }, want: { 'o/': '@50', 'o/a': '@60 =1', 'o/z': '@6 =z' }, times: true },
  { rule: 'times: a directory that gets a file has now', lines: 'COPY f /o/', context: { f: '@100 =1' }, base: { 'o/': '@5', 'o/z': '@6 =z' }, want: { 'o/': '@now', 'o/f': '@100 =1', 'o/z': '@6 =z' }, times: true },
  { rule: 'times: symlinks keep theirs', lines: 'COPY d /o', context: { 'd/': '@1', 'd/l': '@9 ->x' }, want: { 'o/': '@1', 'o/l': '@9 ->x' }, times: true },

  // --- --chown -------------------------------------------------------------------------------------------------------
  { rule: 'chown by numbers', lines: 'COPY --chown=5:6 d /o', context: CTX, want: { 'o/': '5:6', 'o/a': '5:6 =a', 'o/l': '5:6 ->a', 'o/s/': '5:6', 'o/s/b': '5:6 =b' } },
  { rule: 'chown: user only, number: the same group [live]', lines: 'COPY --chown=5 f1 /x', context: CTX, want: { x: '5:5 =1' } },
  { rule: 'chown: group only', lines: 'COPY --chown=:6 f1 /x', context: CTX, want: { x: '0:6 =1' } },
  { rule: 'chown: names of the stage\'s files', lines: 'COPY --chown=ann:staff f1 /x', context: CTX, base: { 'etc/passwd': PASSWD, 'etc/group': GROUP }, want: { 'etc/': '', 'etc/passwd': PASSWD, 'etc/group': GROUP, x: '500:50 =1' } },
  { rule: 'chown: a name brings its primary group [live]', lines: 'COPY --chown=ann f1 /x', context: CTX, base: { 'etc/passwd': PASSWD }, want: { 'etc/': '', 'etc/passwd': PASSWD, x: '500:600 =1' } },
  { rule: 'chown: an unknown user is silently 0 [live]', lines: 'COPY --chown=zed f1 /x', context: CTX, base: { 'etc/passwd': PASSWD }, want: { 'etc/': '', 'etc/passwd': PASSWD, x: '=1' } },
  { rule: 'chown: an unknown group is the user\'s [live]', lines: 'COPY --chown=ann:zed f1 /x', context: CTX, base: { 'etc/passwd': PASSWD, 'etc/group': GROUP }, want: { 'etc/': '', 'etc/passwd': PASSWD, 'etc/group': GROUP, x: '500:600 =1' } },
  { rule: 'chown: names without account files are 0', lines: 'COPY --chown=ann:staff f1 /x', context: CTX, base: { 'bin/': '' }, want: { 'bin/': '', x: '=1' } },
  { rule: 'chown: a name on scratch [live]', lines: 'COPY --chown=ann f1 /x', context: CTX, error: { code: 'USER_NOT_FOUND', message: /invalid user index: -1/ } },
  { rule: 'chown: root is a number', lines: 'COPY --chown=root:root f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'chown: parents that are made get it [live]', lines: 'COPY --chown=5:6 f1 /p/q/x', context: CTX, want: { 'p/': '5:6', 'p/q/': '5:6', 'p/q/x': '5:6 =1' } },
  { rule: 'chown: account files are found through links', lines: 'COPY --chown=ann f1 /x', context: CTX, base: { 'etc/passwd': '->/usr/passwd', 'usr/passwd': PASSWD }, want: { 'etc/': '', 'etc/passwd': '->/usr/passwd', 'usr/': '', 'usr/passwd': PASSWD, x: '500:600 =1' } },
  { rule: 'chown of a stage\'s files', lines: 'COPY --from=base --chown=1:2 /a /b', base: { a: '7:8 =1' }, want: { a: '7:8 =1', b: '1:2 =1' } },
  { rule: 'USER does not affect COPY', lines: 'USER 5:6\nCOPY f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'variables in --chown', lines: 'ARG U=5\nCOPY --chown=$U:6 f1 /x', context: CTX, want: { x: '5:6 =1' } },

  // --- --chmod -------------------------------------------------------------------------------------------------------
  { rule: 'chmod octal: files and nested directories [live]', lines: 'COPY --chmod=750 d /o', context: { 'd/a': '=1', 'd/s/b': '=2' }, want: { 'o/': '750', 'o/a': '750 =1', 'o/s/': '750', 'o/s/b': '750 =2' } },
  { rule: 'chmod octal: parents that are made [live]', lines: 'COPY --chmod=700 f1 /p/x', context: CTX, want: { 'p/': '700', 'p/x': '700 =1' } },
  { rule: 'chmod octal with set-id bits', lines: 'COPY --chmod=4755 f1 /x', context: CTX, want: { x: '4755 =1' } },
  { rule: 'chmod octal drops set-id bits', lines: 'COPY --chmod=755 f1 /x', context: { f1: '6711 =1' }, want: { x: '755 =1' } },
  { rule: 'chmod 0', lines: 'COPY --chmod=0 f1 /x', context: CTX, want: { x: '0 =1' } },
  { rule: 'chmod does not touch symlinks', lines: 'COPY --chmod=600 d /o', context: { 'd/l': '->x' }, want: { 'o/': '600', 'o/l': '->x' } },
  { rule: 'chmod symbolic: set', lines: 'COPY --chmod=u=rwx,go=r f1 /x', context: CTX, want: { x: '744 =1' } },
  { rule: 'chmod symbolic: add and remove', lines: 'COPY --chmod=a+x,g-r f1 /x', context: CTX, want: { x: '715 =1' } },
  { rule: 'chmod symbolic: X on directories and executables only', lines: 'COPY --chmod=go-rwx,a+X d /o', context: { 'd/a': '=1', 'd/x': '755 =2', 'd/s/': '700' }, want: { 'o/': '', 'o/a': '600 =1', 'o/x': '711 =2', 'o/s/': '711' } },
  { rule: 'chmod symbolic: copy of another class', lines: 'COPY --chmod=g=u,o=g f1 /x', context: { f1: '750 =1' }, want: { x: '777 =1' } },
  { rule: 'chmod symbolic: s and t', lines: 'COPY --chmod=u+s,+t f1 /x', context: { f1: '755 =1' }, want: { x: '5755 =1' } },
  { rule: 'chmod symbolic: no class is all, umask 0', lines: 'COPY --chmod=+w f1 /x', context: CTX, want: { x: '666 =1' } },
  { rule: 'chmod symbolic: X after every operator [live]', lines: 'COPY --chmod=a-X,u=X f1 /x', context: { f1: '755 =1' }, want: { x: '144 =1' } },
  { rule: 'chmod symbolic: nothing after =', lines: 'COPY --chmod=go= f1 /x', context: { f1: '777 =1' }, want: { x: '700 =1' } },
  { rule: 'chmod symbolic: copy without a class', lines: 'COPY --chmod=go=u-w f1 /x', context: { f1: '700 =1' }, want: { x: '755 =1' } },
  { rule: 'chmod symbolic: several operations', lines: 'COPY --chmod=u+x-w f1 /x', context: CTX, want: { x: '544 =1' } },
  { rule: 'chmod symbolic: s of others means nothing', lines: 'COPY --chmod=o+s f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'chmod symbolic: = clears set-id of the class', lines: 'COPY --chmod=u=rw f1 /x', context: { f1: '6755 =1' }, want: { x: '2655 =1' } },
  { rule: 'chmod symbolic: an empty change', lines: 'COPY --chmod=u+ f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'chmod symbolic: a comma too many', lines: 'COPY --chmod=u+x, f1 /x', context: CTX, error: { code: 'FLAG_INVALID' } },
  { rule: 'chmod above 07777', lines: 'COPY --chmod=10000 f1 /x', context: CTX, error: { code: 'FLAG_INVALID', message: /0 and 07777/ } },
  { rule: 'chmod of other digits', lines: 'COPY --chmod=888 f1 /x', context: CTX, error: { code: 'FLAG_INVALID' } },
  { rule: 'chmod of nonsense', lines: 'COPY --chmod=rwx f1 /x', context: CTX, error: { code: 'FLAG_INVALID' } },

  // --- --exclude -----------------------------------------------------------------------------------------------------
  { rule: 'exclude: the top level only', lines: 'COPY --exclude=*.txt d /o', context: { 'd/a.txt': '=1', 'd/b': '=2', 'd/s/c.txt': '=3' }, want: { 'o/': '', 'o/b': '=2', 'o/s/': '', 'o/s/c.txt': '=3' } },
  { rule: 'exclude: any depth', lines: 'COPY --exclude=**/*.txt d /o', context: { 'd/a.txt': '=1', 'd/b': '=2', 'd/s/c.txt': '=3' }, want: { 'o/': '', 'o/b': '=2', 'o/s/': '' } },
  { rule: 'exclude: a directory with all below', lines: 'COPY --exclude=s d /o', context: CTX, want: { 'o/': '', 'o/a': '=a', 'o/l': '->a' } },
  { rule: 'exclude: several', lines: 'COPY --exclude=a --exclude=s/b d /o', context: CTX, want: { 'o/': '', 'o/l': '->a', 'o/s/': '' } },
  { rule: 'exclude: ! lets in again', lines: 'COPY --exclude=s --exclude=!s/b d /o', context: { 'd/s/b': '=b', 'd/s/c': '=c' }, want: { 'o/': '', 'o/s/': '', 'o/s/b': '=b' } },
  { rule: 'exclude has no effect on a source itself [live]', lines: 'COPY --exclude=f1 f1 /x', context: CTX, want: { x: '=1' } },
  { rule: 'exclude has no effect on a wildcard match [live]', lines: 'COPY --exclude=f1 f* /o/', context: CTX, want: { 'o/': '', 'o/f1': '=1', 'o/f2': '=2' } },
  { rule: 'exclude of everything makes the destination only', lines: 'COPY --exclude=** d /o', context: CTX, want: { 'o/': '' } },

  // --- --parents -----------------------------------------------------------------------------------------------------
  { rule: 'parents: the path is kept', lines: 'COPY --parents d/s/b /o/', context: CTX, want: { 'o/': '', 'o/d/': '', 'o/d/s/': '', 'o/d/s/b': '=b' } },
  { rule: 'parents: pivot', lines: 'COPY --parents d/./s/b /o/', context: CTX, want: { 'o/': '', 'o/s/': '', 'o/s/b': '=b' } },
  { rule: 'parents: ** is allowed', lines: 'COPY --parents **/*.c /o/', context: { 'x/a.c': '=1', 'y/z/b.c': '=2', 'y/n': '=3' }, want: { 'o/': '', 'o/x/': '', 'o/x/a.c': '=1', 'o/y/': '', 'o/y/z/': '', 'o/y/z/b.c': '=2' } },
  { rule: 'parents: directories take the source\'s metadata', lines: 'COPY --parents d/f /o/', context: { 'd/': '700', 'd/f': '=1' }, want: { 'o/': '', 'o/d/': '700', 'o/d/f': '=1' } },
  { rule: 'parents: a missing plain path', lines: 'COPY --parents d/nope /o/', context: CTX, error: { code: 'SOURCE_NOT_FOUND' } },
  { rule: 'parents: a directory with what is in it', lines: 'COPY --parents d/s /o/', context: CTX, want: { 'o/': '', 'o/d/': '', 'o/d/s/': '', 'o/d/s/b': '=b' } },
  { rule: 'parents with exclude', lines: 'COPY --parents --exclude=d/a d /o/', context: { 'd/a': '=1', 'd/b': '=2' }, want: { 'o/': '', 'o/d/': '', 'o/d/b': '=2' } },

  // --- --link --------------------------------------------------------------------------------------------------------
  { rule: 'link onto scratch is a plain copy', lines: 'COPY --link f1 /o/', context: CTX, want: { 'o/': '', 'o/f1': '=1' } },
  { rule: 'link: what is there stays', lines: 'COPY --link f1 /o/', context: CTX, base: { 'o/z': '=z' }, want: { 'o/': '', 'o/f1': '=1', 'o/z': '=z' } },
  { rule: 'link never follows: the path becomes plain directories [live]', lines: 'COPY --link f1 /l/x', context: CTX, base: { 'o/': '', l: '->o' }, want: { 'o/': '', 'l/': '', 'l/x': '=1' } },
  { rule: 'link: a directory over a file replaces it', lines: 'COPY --link f1 /o/x', context: CTX, base: { o: '=1' }, want: { 'o/': '', 'o/x': '=1' } },
  { rule: 'link with --chown by name', lines: 'COPY --link --chown=ann f1 /x', context: CTX, base: { 'etc/passwd': PASSWD }, error: { code: 'USER_NOT_FOUND' } },
  { rule: 'link with --chmod is an ordinary copy', lines: 'COPY --link --chmod=600 f1 /l/x', context: CTX, base: { 'o/': '', l: '->o' }, want: { 'o/': '', 'o/x': '600 =1', l: '->o' } },

  // --- here-documents ------------------------------------------------------------------------------------------------
  { rule: 'inline file into a directory', lines: 'COPY <<a.txt /o/\nhi\na.txt', want: { 'o/': '', 'o/a.txt': '=hi\n' } },
  { rule: 'inline file to a name', lines: 'COPY <<EOF /x\nhi\nEOF', want: { x: '=hi\n' } },
  { rule: 'inline file: variables', lines: 'ENV A=1\nCOPY <<EOF /x\n$A "q"\nEOF', want: { x: '=1 "q"\n' } },
  { rule: 'inline file: quoted delimiter', lines: 'ENV A=1\nCOPY <<"EOF" /x\n$A\nEOF', want: { x: '=$A\n' } },
  { rule: 'inline file: tabs', lines: 'COPY <<-EOF /x\n\thi\n\t\tho\n\tEOF', want: { x: '=hi\nho\n' } },
  { rule: 'two inline files and a plain one', lines: 'COPY f1 <<a <<b /o/\n1\na\n2\nb', context: CTX, want: { 'o/': '', 'o/f1': '=1', 'o/a': '=1\n', 'o/b': '=2\n' } },
  { rule: 'inline file with --chown and --chmod', lines: 'COPY --chown=5:6 --chmod=700 <<EOF /x\nhi\nEOF', want: { x: '700 5:6 =hi\n' } },
  { rule: 'ADD of an inline file', lines: 'ADD <<EOF /x\nhi\nEOF', want: { x: '=hi\n' } },

  // --- stages, WORKDIR -----------------------------------------------------------------------------------------------
  { rule: 'from a stage by number', lines: 'WORKDIR /w\nFROM scratch\nCOPY --from=0 /w /o', want: { 'o/': '' } },
  { rule: 'a missing path of a stage', lines: 'COPY --from=base /nope /x', base: { a: '=1' }, error: { code: 'SOURCE_NOT_FOUND', message: /lstat \/nope: no such file or directory/ } },
  { rule: 'links of a stage are resolved in its root', lines: 'COPY --from=base /l /x', base: { l: '->/a/t', 'a/t': '=1' }, want: { l: '->/a/t', 'a/': '', 'a/t': '=1', x: '=1' } },
  { rule: 'WORKDIR makes parents 0755', lines: 'WORKDIR /a/b', want: { 'a/': '', 'a/b/': '' } },
  { rule: 'WORKDIR belongs to USER [live]', lines: 'USER 5:6\nWORKDIR /a/b', want: { 'a/': '5:6', 'a/b/': '5:6' } },
  { rule: 'WORKDIR of a named user', lines: 'USER ann\nWORKDIR /a', base: { 'etc/passwd': PASSWD }, want: { 'etc/': '', 'etc/passwd': PASSWD, 'a/': '500:600' } },
  { rule: 'WORKDIR leaves an existing directory', lines: 'WORKDIR /a', base: { 'a/': '700 3:4' }, want: { 'a/': '700 3:4' } },
  { rule: 'WORKDIR through a link', lines: 'WORKDIR /l/b', base: { 'a/': '', l: '->a' }, want: { 'a/': '', 'a/b/': '', l: '->a' } },
  { rule: 'relative WORKDIR chains', lines: 'WORKDIR /a\nWORKDIR b\nWORKDIR ../c\nCOPY <<EOF x\n1\nEOF', want: { 'a/': '', 'a/b/': '', 'a/c/': '', 'a/c/x': '=1\n' } },
  { rule: 'WORKDIR with a variable that is not set', lines: 'WORKDIR /a/$NOPE/b', want: { 'a/': '', 'a/b/': '' } },
]
