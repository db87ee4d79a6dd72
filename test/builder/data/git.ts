// ADD of git URLs and git contexts: what each names, or why it is refused. `$R` is the repository, `$S` the server.
import { FIRST, SECOND, TAG_V2, WITH_SUBMODULE } from '../git-fixture.js'
import type { LiveCase } from '../live-buildkit.js'

export interface GitCase extends LiveCase {
  /** Key of the source, before it is hashed. */
  readonly key?: string
  /** Code of the error and a part of its message, which is BuildKit's. */
  readonly fails?: readonly [code: string, part: string]
}

const add = (url: string, key: string, flags = ''): GitCase => ({
  name: `ADD ${flags}${url}`,
  lines: `ADD ${flags}${url} /d`,
  key,
})

const refuse = (url: string, code: string, part: string, flags = ''): GitCase => ({
  name: `ADD ${flags}${url} is refused`,
  lines: `ADD ${flags}${url} /d`,
  fails: [code, part],
})

export const GIT_CASES: readonly GitCase[] = [
  // Refs. @see moby/buildkit source/git/source.go CacheKey: refs/…, then branches, then tags; tags by their commit
  add('$R', SECOND),
  add('$R#main', SECOND),
  add('$R#heads/main', SECOND),
  add('$R#refs/heads/main', SECOND),
  add('$R#feature/x', SECOND),
  add('$R?ref=feature%2Fx', SECOND),
  add('$R#light', FIRST),
  add('$R#v2', SECOND),
  add('$R#refs/tags/v2', SECOND),
  add('$R#tags/v2', TAG_V2),
  add('$R#v1', SECOND),
  add('$R#tags/light', FIRST),
  add('$R?tag=light', FIRST),
  add('$R?tag=refs/tags/light', FIRST),
  add('$R?branch=v1', SECOND),
  add('$R?branch=main&ref=refs/heads/main', SECOND),
  add(`$R#${FIRST}`, FIRST),
  add(`$R?commit=${FIRST}`, FIRST),
  refuse('$R#nope', 'GIT_REF_NOT_FOUND', 'does not contain ref nope'),
  refuse('$R#HEAD', 'GIT_REF_NOT_FOUND', 'does not contain ref HEAD'),
  refuse(`$R#${FIRST.slice(0, 7)}`, 'GIT_REF_NOT_FOUND', `does not contain ref ${FIRST.slice(0, 7)}`),
  refuse(`$R#${FIRST.toUpperCase()}`, 'GIT_REF_NOT_FOUND', 'does not contain ref EE245F'),
  refuse('$R#m*', 'GIT_REF_NOT_FOUND', 'does not contain ref m*'),
  refuse('$R#main/', 'GIT_REF_NOT_FOUND', 'does not contain ref main/'),
  refuse('$R##ref=main', 'GIT_REF_NOT_FOUND', 'does not contain ref #ref=main'),
  refuse('$R#-upload-pack=x', 'OPTION_INVALID', 'invalid git ref "-upload-pack=x"'),
  refuse(`$R#${'f'.repeat(40)}`, 'FETCH_FAILED', 'failed to'),
  refuse('$S/none.git', 'FETCH_FAILED', ''),

  // Subdirectories: kept inside, never through a symlink.
  add('$R#light:docker', `${FIRST}:docker`),
  add('$R#light:/docker/', `${FIRST}:docker`),
  add('$R#light:docker/../docker', `${FIRST}:docker`),
  add('$R#light:..', FIRST),
  add('$R#:docker/web', `${SECOND}:docker/web`),
  add('$R?subdir=docker', `${SECOND}:docker`),
  add('$R?subdir=docker&ref=light#:docker', `${FIRST}:docker`),
  refuse('$R#:nope', 'SOURCE_NOT_FOUND', 'invalid subdir /nope'),
  refuse('$R#:a.txt', 'SOURCE_NOT_FOUND', 'invalid subdir /a.txt'),
  refuse('$R#ignored:dlink/web', 'SOURCE_NOT_FOUND', 'invalid subdir /dlink/web'),

  // Submodules.
  add('$R#withsub', WITH_SUBMODULE),
  add('$R?ref=withsub&submodules=false', `${WITH_SUBMODULE}(skip-submodules)`),
  add('$R?ref=light&submodules=0&subdir=docker', `${FIRST}:docker(skip-submodules)`),

  // .git
  add('$R#light', `${FIRST}.git#refs/tags/light`, '--keep-git-dir '),
  add('$R#v2', `${SECOND}.git#refs/tags/v2`, '--keep-git-dir=true '),
  add('$R', `${SECOND}.git#refs/heads/main`, '--keep-git-dir '),
  add('$R#heads/main', `${SECOND}.git#refs/heads/main`, '--keep-git-dir '),
  add(`$R#${FIRST}`, `${FIRST}.git`, '--keep-git-dir '),
  add('$R?ref=light&keep-git-dir', `${FIRST}.git#refs/tags/light`),
  add('$R?ref=light&keep-git-dir=1', `${FIRST}.git#refs/tags/light`, '--keep-git-dir '),
  add('$R?ref=light&keep-git-dir=false', FIRST),
  add('$R#light:docker', `${FIRST}.git#refs/tags/light:docker`, '--keep-git-dir '),
  refuse('$R?keep-git-dir=0', 'FLAG_INVALID', 'inconsistent keep-git-dir', '--keep-git-dir '),
  refuse('$R?keep-git-dir=1', 'FLAG_INVALID', 'inconsistent keep-git-dir', '--keep-git-dir=false '),

  // Checksums: the first digits of the commit.
  add('$R#main', SECOND, `--checksum=${SECOND} `),
  add('$R', SECOND, '--checksum=0b46fd2 '),
  add('$R#v2', SECOND, '--checksum=0b46 '),
  add('$R#tags/v2', TAG_V2, '--checksum=3399 '),
  add('$R?ref=light&checksum=ee245f7', FIRST),
  add('$R?ref=light&checksum=ee245f7', FIRST, '--checksum=ee245f7 '),
  refuse('$R', 'CHECKSUM_MISMATCH', 'expected checksum to match ee24', '--checksum=ee24 '),
  refuse('$R#v2', 'CHECKSUM_MISMATCH', 'expected checksum to match 3399', '--checksum=3399 '),
  refuse('$R#v2', 'CHECKSUM_MISMATCH', 'expected checksum to match 0B46', '--checksum=0B46 '),
  refuse('$R', 'OPTION_INVALID', 'invalid checksum zz for Git URL', '--checksum=zz '),
  refuse('$R', 'OPTION_INVALID', 'invalid checksum sha256:12 for Git URL', '--checksum=sha256:12 '),
  refuse('$R?checksum=0b46fd', 'FLAG_INVALID', 'checksum mismatch', '--checksum=0b46fd2 '),
  refuse('a.txt', 'FLAG_INVALID', 'checksum requires HTTP(S) or Git sources', '--checksum=0b46fd2 '),

  // Queries. @see moby/buildkit frontend/dockerfile/dfgitutil/git_ref.go
  refuse('$R?foo=1', 'ARGUMENT_INVALID', 'unexpected query "foo"'),
  refuse('$R?ref=', 'ARGUMENT_INVALID', 'query "ref" has no value'),
  refuse('$R?ref=a&ref=b', 'ARGUMENT_INVALID', 'query "ref" has multiple values'),
  refuse('$R?ref=main#light', 'ARGUMENT_INVALID', 'ref conflicts: "light" vs "main"'),
  refuse('$R?subdir=a#light:b', 'ARGUMENT_INVALID', 'subdir conflicts: "b" vs "a"'),
  refuse('$R?branch=main&tag=v1', 'ARGUMENT_INVALID', 'branch conflicts with tag'),
  refuse('$R?keep-git-dir=maybe', 'ARGUMENT_INVALID', 'invalid keep-git-dir value: "maybe"'),
  refuse('$R?submodules=maybe', 'ARGUMENT_INVALID', 'invalid submodules value: "maybe"'),

  // The copy.
  { name: 'two sources', lines: 'ADD $R $R#light:docker /d/' },
  { name: 'two sources into what is no directory yet', lines: 'ADD $R $R#light:docker /d' },
  { name: 'onto the root', lines: 'ADD $R#light /' },
  { name: 'into what is there', lines: 'COPY <<x /d/y\n1\nx\nADD $R#light:docker /d' },
  { name: 'exclude', lines: 'ADD --exclude=*.txt --exclude=docker $R /d' },
  { name: 'exclude inside', lines: 'ADD --exclude=**/w.txt $R /d' },
  { name: 'chown and chmod', lines: 'ADD --chown=3:4 --chmod=750 $R /d' },
  { name: 'symbolic chmod', lines: 'ADD --chmod=go= $R /d' },
  { name: 'link', lines: 'ADD --link $R /d' },
  { name: 'unpack', lines: 'ADD --unpack $R /d' },
  { name: 'COPY is refused', lines: 'COPY $R /d', fails: ['FLAG_INVALID', "source can't be a git ref for COPY"] },

  // Contexts: no ignore file counts.
  { name: 'context', context: '$R', key: SECOND },
  { name: 'context with a subdirectory', context: '$R#:docker/web', key: `${SECOND}:docker/web` },
  { name: 'context with a Dockerfile by its path', context: '$R', file: 'docker/web/Dockerfile', fails: ['SOURCE_NOT_FOUND', '"/w.txt": not found'] },
  { name: 'context with an ignore file', context: '$R#ignored' },
  { name: 'context with .git', context: '$R?ref=light&keep-git-dir=1', key: `${FIRST}.git#refs/tags/light` },
  {
    name: 'context with .git by argument',
    context: '$R#light',
    buildArgs: { BUILDKIT_CONTEXT_KEEP_GIT_DIR: '1' },
    key: `${FIRST}.git#refs/tags/light`,
  },
  { name: 'context without a Dockerfile', context: '$R#light:docker', fails: ['DOCKERFILE_NOT_FOUND', 'failed to read dockerfile'] },
  { name: 'context of no ref', context: '$R#nope', fails: ['GIT_REF_NOT_FOUND', 'does not contain ref nope'] },
  { name: 'context of a bad query', context: '$R?foo=1', fails: ['OPTION_INVALID', 'unexpected query "foo"'] },
  { name: 'named context', named: '$R#light', lines: 'COPY --from=src /docker /docker', key: FIRST },
  { name: 'named context, ignore file', named: '$R#ignored', lines: 'COPY --from=src / /' },
  { name: 'named context of no ref', named: '$R#nope', lines: 'COPY --from=src / /', fails: ['GIT_REF_NOT_FOUND', 'does not contain ref nope'] },
]
