// What a Dockerfile becomes in the image config: fields, history, progress names. From moby/buildkit
// frontend/dockerfile/dockerfile2llb/convert.go; texts marked [live] in facts 1.8 as there.
import type { ContainerConfig } from '../../../src/oci/index.js'

export interface ConfigRow {
  readonly rule: string
  readonly lines: string
  /** Fields of the config that must be so; `undefined` = absent. */
  readonly want: Partial<Record<keyof ContainerConfig, unknown>>
  /** `created_by` of the entries that the lines make, ` (empty)` after those without a layer. */
  readonly history?: readonly string[]
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export const CONFIG_ROWS: readonly ConfigRow[] = [
  { rule: 'nothing', lines: '', want: { WorkingDir: '/', Env: [PATH] }, history: [] },
  { rule: 'ENV pairs', lines: 'ENV A=1 B="two words"', want: { Env: [PATH, 'A=1', 'B=two words'] }, history: ['ENV A=1 B=two words (empty)'] },
  { rule: 'ENV legacy form', lines: 'ENV A some text', want: { Env: [PATH, 'A=some text'] }, history: ['ENV A=some text (empty)'] },
  { rule: 'ENV again keeps its place', lines: 'ENV A=1\nENV B=2\nENV A=3', want: { Env: [PATH, 'A=3', 'B=2'] } },
  { rule: 'ENV sees the environment from before the instruction', lines: 'ENV a=1\nENV a=2 b=$a', want: { Env: [PATH, 'a=2', 'b=1'] } },
  { rule: 'ENV of PATH', lines: 'ENV PATH=/x:$PATH', want: { Env: [`PATH=/x:${PATH.slice(5)}`] } },
  { rule: 'LABEL', lines: 'LABEL a=1 "b c"="d e"', want: { Labels: { a: '1', 'b c': 'd e' } }, history: ['LABEL a=1 b c=d e (empty)'] },
  { rule: 'LABEL again', lines: 'LABEL a=1\nLABEL a=2', want: { Labels: { a: '2' } } },
  { rule: 'CMD exec form', lines: 'CMD ["node", "a b", "c\\"d"]', want: { Cmd: ['node', 'a b', 'c"d'], ArgsEscaped: true }, history: ['CMD ["node" "a b" "c\\"d"] (empty)'] },
  { rule: 'CMD shell form', lines: 'CMD echo $HOME', want: { Cmd: ['/bin/sh', '-c', 'echo $HOME'] }, history: ['CMD ["/bin/sh" "-c" "echo $HOME"] (empty)'] },
  { rule: 'SHELL', lines: 'SHELL ["/bin/bash", "-o", "pipefail", "-c"]\nCMD x', want: { Shell: ['/bin/bash', '-o', 'pipefail', '-c'], Cmd: ['/bin/bash', '-o', 'pipefail', '-c', 'x'] }, history: ['SHELL [/bin/bash -o pipefail -c] (empty)', 'CMD ["/bin/bash" "-o" "pipefail" "-c" "x"] (empty)'] },
  { rule: 'ENTRYPOINT exec form', lines: 'ENTRYPOINT ["/e"]', want: { Entrypoint: ['/e'] }, history: ['ENTRYPOINT ["/e"] (empty)'] },
  { rule: 'ENTRYPOINT leaves a CMD of this stage', lines: 'CMD ["c"]\nENTRYPOINT ["/e"]', want: { Entrypoint: ['/e'], Cmd: ['c'] } },
  { rule: 'USER', lines: 'USER ann:staff', want: { User: 'ann:staff' }, history: ['USER ann:staff (empty)'] },
  { rule: 'USER with a variable', lines: 'ENV U=ann\nUSER $U', want: { User: 'ann' } },
  { rule: 'WORKDIR', lines: 'WORKDIR /b', want: { WorkingDir: '/b' }, history: ['WORKDIR /b'] },
  { rule: 'WORKDIR: an absolute path stays as written', lines: 'WORKDIR /a/../b/', want: { WorkingDir: '/a/../b/' }, history: ['WORKDIR /a/../b/'] },
  { rule: 'WORKDIR: relative ones are cleaned', lines: 'WORKDIR /a/\nWORKDIR ../b/', want: { WorkingDir: '/b' }, history: ['WORKDIR /a/', 'WORKDIR /b'] },
  { rule: 'WORKDIR / makes no layer', lines: 'WORKDIR /', want: { WorkingDir: '/' }, history: ['WORKDIR / (empty)'] },
  { rule: 'VOLUME list', lines: 'VOLUME /a /b', want: { Volumes: { '/a': {}, '/b': {} } }, history: ['VOLUME [/a /b] (empty)'] },
  { rule: 'VOLUME JSON', lines: 'VOLUME ["/a b"]', want: { Volumes: { '/a b': {} } }, history: ['VOLUME [/a b] (empty)'] },
  { rule: 'EXPOSE', lines: 'EXPOSE 3000 53/UDP 8000-8002', want: { ExposedPorts: { '3000/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {}, '8002/tcp': {} } } },
  { rule: 'EXPOSE history', lines: 'EXPOSE 80 443', want: {}, history: ['EXPOSE [443/tcp 80/tcp] (empty)'] },
  { rule: 'STOPSIGNAL by name and number', lines: 'STOPSIGNAL SIGTERM\nSTOPSIGNAL 9', want: { StopSignal: '9' }, history: ['STOPSIGNAL SIGTERM (empty)', 'STOPSIGNAL 9 (empty)'] },
  { rule: 'HEALTHCHECK', lines: 'HEALTHCHECK --interval=5m --timeout=3s --start-period=1.5s --retries=2 CMD curl -f http://localhost/', want: { Healthcheck: { Test: ['CMD-SHELL', 'curl -f http://localhost/'], Interval: 300e9, Timeout: 3e9, StartPeriod: 1.5e9, Retries: 2 } }, history: ['HEALTHCHECK &{["CMD-SHELL" "curl -f http://localhost/"] "5m0s" "3s" "1.5s" "0s" \'\\x02\'} (empty)'] },
  { rule: 'HEALTHCHECK exec form', lines: 'HEALTHCHECK CMD ["a", "b"]', want: { Healthcheck: { Test: ['CMD', 'a', 'b'] } } },
  { rule: 'HEALTHCHECK NONE', lines: 'HEALTHCHECK NONE', want: { Healthcheck: { Test: ['NONE'] } } },
  { rule: 'ONBUILD is stored, without history', lines: 'ONBUILD COPY . /app', want: { OnBuild: ['COPY . /app'] }, history: [] },
  { rule: 'ARG is in history only', lines: 'ARG A=1 B', want: { Env: [PATH] }, history: ['ARG A=1 B (empty)'] },
  { rule: 'RUN', lines: 'RUN write /x 1', want: {}, history: ['RUN /bin/sh -c write /x 1 # buildkit'] },
  { rule: 'RUN exec form', lines: 'RUN ["true", "write /x 1"]', want: {}, history: ['RUN true write /x 1 # buildkit'] },
  { rule: 'RUN with arguments', lines: 'ARG A=1\nARG B\nARG C=3\nENV C=4\nRUN true', want: {}, history: ['ARG A=1 (empty)', 'ARG B (empty)', 'ARG C=3 (empty)', 'ENV C=4 (empty)', 'RUN |3 A=1 B= C=4 /bin/sh -c true # buildkit'] },
  { rule: 'RUN keeps its own blanks and variables', lines: 'ENV A=1\nRUN true  $A "x"', want: {}, history: ['ENV A=1 (empty)', 'RUN /bin/sh -c true  $A "x" # buildkit'] },
  { rule: 'RUN over several lines', lines: 'RUN true \\\n  ;  true', want: {}, history: ['RUN /bin/sh -c true   ;  true # buildkit'] },
  { rule: 'COPY', lines: 'COPY f1 /o/', want: {}, history: ['COPY f1 /o/ # buildkit'] },
  { rule: 'COPY with flags: those that BuildKit shows', lines: 'COPY --chown=5:6 --chmod=640 --link f1 d /o/', want: {}, history: ['COPY --chown=5:6 --chmod=640 f1 d /o/ # buildkit'] },
  { rule: 'COPY --parents', lines: 'COPY --parents d/a /o/', want: {}, history: ['COPY --parents d/a /o/ # buildkit'] },
  { rule: 'COPY of an inline file', lines: 'COPY <<EOF /x\nhi\nEOF', want: {}, history: ['COPY <<EOF /x # buildkit'] },
  { rule: 'ADD', lines: 'ADD f1 /o/', want: {}, history: ['ADD f1 /o/ # buildkit'] },
  { rule: 'MAINTAINER', lines: 'MAINTAINER ann', want: {}, history: ['MAINTAINER ann (empty)'] },
]
