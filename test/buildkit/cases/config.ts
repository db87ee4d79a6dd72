// What instructions leave in config and history, what is refused and how, and where stages and images come from.
import type { BuildCase, ImageText } from '../case.js'

const EPOCH = 1_600_000_000

/** An image with everything in it that a child takes over or loses. */
const RICH: ImageText = {
  files: { 'etc/passwd': '=root:x:0:0:root:/root:/bin/sh\nann:x:500:600::/home/ann:/bin/sh\n', f: '=1' },
  config: {
    User: 'ann',
    ExposedPorts: { '80/tcp': {} },
    Env: ['PATH=/bin', 'A=base'],
    Entrypoint: ['/e'],
    Cmd: ['c'],
    Volumes: { '/v': {} },
    WorkingDir: '/w',
    Labels: { a: 'base', z: 'base' },
    StopSignal: 'SIGINT',
    Shell: ['/bin/ash', '-c'],
    Healthcheck: { Test: ['CMD', 'x'], Interval: 1_000_000_000, Retries: 2 },
  },
}

const TRIGGERS: ImageText = {
  files: { f: '=1' },
  config: { OnBuild: ['COPY f1 /on/', 'ENV T=1', 'LABEL l=$T', 'WORKDIR w', 'CMD ["t"]'] },
}

/** Instructions after `FROM scratch`. */
const PLAIN: readonly string[] = [
  'CMD echo "<&>"', 'CMD ["a", "b c"]', 'CMD', 'CMD []', 'CMD [""]', "CMD ['a']", 'CMD a\nCMD b', 'ENTRYPOINT a', 'ENTRYPOINT []', 'ENTRYPOINT ["a"]\nCMD ["b"]', 'CMD ["b"]\nENTRYPOINT ["a"]',
  'ENV A=1', 'ENV A=1 B=$A', 'ENV A 1 2 3', 'ENV A="x y" B=\\"q\\" C=a\\ b', 'ENV A=1\nENV A=2', 'ENV PATH=/x:$PATH', 'ENV A=', 'ENV A=\'$B\'', 'ENV A=ü€😀', 'ENV', 'ENV A', 'ENV =1', 'ENV A=1 B',
  'LABEL a=1', 'LABEL a=1 b="x y" a=2', 'LABEL "a b"=c', 'LABEL a b c', 'LABEL a=$B', 'LABEL a=', 'LABEL a.b/c=1\nLABEL a=0', 'LABEL', 'LABEL multi="a\\\nb"',
  'EXPOSE 80', 'EXPOSE 80/TCP 53/udp', 'EXPOSE 8000-8003', 'EXPOSE 90 80 80/tcp', 'EXPOSE 127.0.0.1:80:90', 'EXPOSE 80/sctp', 'EXPOSE x', 'EXPOSE 70000', 'EXPOSE 80/foo', 'EXPOSE', 'EXPOSE 9-8', 'EXPOSE $P', 'EXPOSE 0', 'EXPOSE 080', 'EXPOSE 80-82/udp',
  'VOLUME /a', 'VOLUME /a /b', 'VOLUME ["/a", "/b c"]', 'VOLUME', 'VOLUME ""', 'VOLUME [""]', 'VOLUME /a/../b/', 'VOLUME []',
  'USER a', 'USER a:b', 'USER 0', 'USER', 'USER $U', 'USER "a b"', 'USER root\nUSER 5',
  'WORKDIR /a', 'WORKDIR a\nWORKDIR b', 'WORKDIR /a/../b/', 'WORKDIR "/a b"', 'WORKDIR', 'WORKDIR $X', 'WORKDIR /a//b/./c', 'WORKDIR ..', 'WORKDIR \\a',
  'STOPSIGNAL 9', 'STOPSIGNAL SIGTERM', 'STOPSIGNAL term', 'STOPSIGNAL RTMIN+3', 'STOPSIGNAL NOPE', 'STOPSIGNAL', 'STOPSIGNAL 0', 'STOPSIGNAL 99',
  'SHELL ["a", "-b"]\nCMD x', 'SHELL a b', 'SHELL []', 'SHELL ["a"]\nENTRYPOINT x y',
  'HEALTHCHECK CMD x', 'HEALTHCHECK CMD ["x", "y"]', 'HEALTHCHECK NONE', 'HEALTHCHECK --interval=5s --timeout=1m30s --start-period=1h --start-interval=10ms --retries=3 CMD x', 'HEALTHCHECK --interval=1ns CMD x', 'HEALTHCHECK --retries=-1 CMD x', 'HEALTHCHECK --retries=0 CMD x', 'HEALTHCHECK --retries=10 CMD x', 'HEALTHCHECK --retries=39 CMD a "b"', 'HEALTHCHECK --retries=34 CMD x', 'HEALTHCHECK --retries=65 CMD x', 'HEALTHCHECK --retries=173 CMD x', 'HEALTHCHECK --retries=55296 CMD x', 'HEALTHCHECK --retries=9999999 CMD x', 'HEALTHCHECK --interval=0s CMD x', 'HEALTHCHECK', 'HEALTHCHECK x', 'HEALTHCHECK --interval=x CMD x', 'HEALTHCHECK NONE x', 'HEALTHCHECK CMD', 'HEALTHCHECK --interval=1.5s CMD x', 'HEALTHCHECK --interval=1h1m1.001s CMD x',
  'MAINTAINER a <b@c>', 'MAINTAINER', 'ONBUILD RUN x', 'ONBUILD COPY a b\nONBUILD ENV A=$B', 'ONBUILD ONBUILD RUN x', 'ONBUILD FROM x', 'ONBUILD MAINTAINER x', 'ONBUILD', 'ONBUILD NOPE x', 'ONBUILD   copy   a   b',
  'ARG A', 'ARG A=1', 'ARG A=1 B=$A\nENV C=$B', 'ARG A=1\nENV A=2\nLABEL l=$A', 'ENV A=2\nARG A=1\nLABEL l=$A', 'ARG', 'ARG A B C=3', 'ARG "A=x y"\nENV B=$A', 'ARG TARGETPLATFORM\nARG TARGETARCH\nARG BUILDPLATFORM\nARG TARGETSTAGE\nLABEL l="$TARGETPLATFORM $TARGETARCH $BUILDPLATFORM $TARGETSTAGE"', 'ARG HTTP_PROXY\nLABEL l=$HTTP_PROXY',
  'LABEL l=${A:-d} m=${A:+s} n=${A-e}', 'ENV A=abc\nLABEL l=${A#a} m=${A%c} n=${A/b/x} o=${A//b/y} p=${A##*b}', 'LABEL l=${A:?no}', 'LABEL l=${A', 'LABEL l=${A:=x}', 'LABEL l=$$A', "LABEL l='$A' m=\"$A\"", 'ENV A=1\nLABEL l=\\$A m=\\\\$A',
  'FOO bar', 'COPY', 'COPY a', 'ADD', 'copy f1 /x', 'COPY --nope f1 /x', 'COPY --chown f1 /x', 'COPY --chown=1 --chown=2 f1 /x', 'COPY --link=maybe f1 /x', 'COPY --link=false f1 /x', 'COPY --from=$X f1 /x', 'COPY --from=9 f1 /x', 'COPY ["f1"]', 'COPY ["f1", 2]', 'ADD --checksum=x f1 /x', 'ADD --keep-git-dir f1 /x', 'ADD --unpack=x f1 /x', 'COPY <<a <<b /o/\n1\na\n2\nb', 'COPY f1 <<a\n1\na', 'COPY <<a /x\n1', 'COPY <<a /x\n$A ${A:-d} \\$A "q" \'s\' \\\\\na', "COPY <<'a' /x\n$A\na", 'COPY https://x.invalid/f /x', 'COPY git@x.invalid:a/b.git /x',
] // prettier-ignore

/** Whole files, with what they are built with. */
const WHOLE: readonly (Omit<BuildCase, 'name'> & { readonly name?: string })[] = [
  { dockerfile: '' },
  { dockerfile: '# only a comment\n' },
  { dockerfile: 'ARG A=1\n' },
  { dockerfile: 'ENV A=1\n' },
  { dockerfile: 'FROM\n' },
  { dockerfile: 'FROM scratch AS\n' },
  { dockerfile: 'FROM scratch AS 1a\n' },
  { dockerfile: 'FROM scratch a b\n' },
  { dockerfile: 'FROM $A\n' },
  { dockerfile: 'ARG A=scratch\nFROM $A\nLABEL l=$A\n' },
  { dockerfile: 'ARG A=scratch\nFROM $A\nARG A\nLABEL l=$A\n' },
  { dockerfile: 'ARG A=scratch\nFROM $A\nARG A=x\nLABEL l=$A\n', args: { A: 'scratch' } },
  { dockerfile: 'ARG A\nFROM scratch\nARG A=x\nARG B\nLABEL l=$A-$B\n', args: { A: 'y', B: 'z', C: 'unused' } },
  { dockerfile: 'FROM nope\nFROM scratch\nLABEL a=1\n' },
  { dockerfile: 'FROM b\nFROM scratch AS b\n' },
  { dockerfile: 'FROM scratch AS a\nCOPY --from=b /x /x\nFROM a AS b\n' },
  { dockerfile: 'FROM scratch AS a\nCOPY --from=a /x /x\n' },
  { dockerfile: 'FROM scratch AS a\nCOPY f1 /f\nFROM scratch\nCOPY --from=A /f /g\n' },
  { dockerfile: 'FROM scratch AS a\nCOPY f1 /f\nFROM scratch AS a\nCOPY f2 /f\nFROM scratch\nCOPY --from=a /f /g\nCOPY --from=0 /f /h\n' },
  { dockerfile: 'FROM scratch AS a\nENV A=1\nUSER 5\nWORKDIR /w\nSHELL ["x"]\nCMD ["c"]\nENTRYPOINT ["e"]\nFROM a\nCMD y\n' },
  { dockerfile: 'FROM scratch AS a\nENTRYPOINT ["e"]\nCMD ["c"]\nFROM a\nENTRYPOINT ["f"]\n' },
  { dockerfile: 'FROM scratch AS a\nARG X=1\nFROM a\nLABEL l=$X\n' },
  { dockerfile: 'FROM scratch AS a\nONBUILD COPY f1 /on\nONBUILD LABEL l=1\nFROM a\nCOPY f2 /x\n' },
  { dockerfile: 'FROM scratch AS a\nONBUILD COPY f1 /on\nFROM a AS b\nFROM b\n' },
  { dockerfile: 'FROM scratch AS a\nLABEL a=1\nFROM scratch AS b\nLABEL b=1\n', target: 'a' },
  { dockerfile: 'FROM scratch AS a\nLABEL a=1\nFROM scratch AS b\nLABEL b=1\n', target: 'A' },
  { dockerfile: 'FROM scratch AS a\nLABEL a=1\nFROM scratch AS b\nLABEL b=1\n', target: '0' },
  { dockerfile: 'FROM scratch AS a\nLABEL a=1\nFROM scratch AS b\nLABEL b=1\n', target: 'nope' },
  { dockerfile: 'FROM scratch\nLABEL a=1\n', labels: { a: '2', b: '3' } },
  { dockerfile: 'FROM scratch\nLABEL a=1\n', platform: 'linux/arm64' },
  { dockerfile: 'FROM scratch\nARG TARGETPLATFORM\nARG TARGETVARIANT\nLABEL a=$TARGETPLATFORM-$TARGETVARIANT\n', platform: 'linux/arm/v7' },
  { dockerfile: 'FROM --platform=linux/arm64 scratch\nCOPY f1 /\n' },
  { dockerfile: 'FROM --platform=$BUILDPLATFORM scratch\nCOPY f1 /\n', platform: 'linux/riscv64' },
  { dockerfile: 'FROM --platform=nope scratch\n' },
  { dockerfile: 'FROM --platform= scratch\n' },
  { dockerfile: 'FROM base\n', images: { base: RICH } },
  { dockerfile: 'FROM base\nCOPY f1 x\n', images: { base: RICH } },
  { dockerfile: 'FROM base\nENV A=$A-2 B=1\nLABEL a=1\nEXPOSE 90\nVOLUME /x\nCMD ["d"]\n', images: { base: RICH } },
  { dockerfile: 'FROM base\nENTRYPOINT ["f"]\n', images: { base: RICH } },
  { dockerfile: 'FROM base\nCMD x\nHEALTHCHECK NONE\nSTOPSIGNAL 9\nUSER 0\n', images: { base: RICH } },
  { dockerfile: 'FROM base\nWORKDIR x\nWORKDIR y\n', images: { base: RICH } },
  { dockerfile: 'FROM base AS a\nFROM a\nCOPY f1 .\n', images: { base: RICH } },
  { dockerfile: 'FROM base\nLABEL own=1\n', images: { base: TRIGGERS } },
  { dockerfile: 'FROM base AS a\nFROM a\nLABEL own=1\n', images: { base: TRIGGERS } },
  { dockerfile: 'FROM scratch AS stage\nCOPY f1 /x\nFROM scratch\nCOPY --from=stage /f /y\n', images: { stage: RICH } },
  { dockerfile: 'FROM scratch\nCOPY --from=other a /y\n', contexts: { other: { a: '=1', b: '=2' } } },
  { dockerfile: 'FROM other\nCOPY f1 /y\n', contexts: { other: { a: '=1', b: '=2' } } },
  { dockerfile: 'FROM base\nCOPY f1 /y\n', images: { base: { files: { f: '=1' }, history: [{ created: '2020-01-01T00:00:00Z', created_by: 'a', empty_layer: true }, { created: '2020-01-02T00:00:00Z', created_by: 'b', author: 'me', comment: 'c' }] } } },
  { dockerfile: 'FROM base\nCOPY f1 /y\n', images: { base: { files: { f: '=1' }, history: [] } } },
  { dockerfile: 'FROM scratch\nCOPY . /o/\n', beside: { 'Dockerfile.dockerignore': '=f*\n!f2' } },
  { dockerfile: '# escape=`\nFROM scratch\nENV A=a`\n b\nCOPY f1 C:\\x\n' },
  { dockerfile: '#escape=x\nFROM scratch\n' },
  { dockerfile: '\ufeffFROM scratch\r\nLABEL a=1\r\nCOPY <<E /x\r\nhi\r\nE\r\n' },
  { dockerfile: 'FROM scratch\nLABEL a=1 \\\n# comment\n\n  b=2 \\\n' },
  { dockerfile: 'from scratch as A\ncOpY f1 /x\nFrom a\n' },
  { dockerfile: 'ARG SOURCE_DATE_EPOCH=5\nFROM scratch\nWORKDIR /w\n' },
  { dockerfile: 'FROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL e=$SOURCE_DATE_EPOCH\n', epoch: EPOCH },
  { dockerfile: 'FROM scratch\nCOPY f1 /x\n', args: { SOURCE_DATE_EPOCH: '' } },
  ...['x', '1.5', '-1', '+5', ' 5', '0x10', '1e3', '253402300800', '253402300799', '-62135596801', '08'].map((epoch) => ({ dockerfile: 'FROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL e=$SOURCE_DATE_EPOCH\nCOPY f1 /x\n', args: { SOURCE_DATE_EPOCH: epoch }, name: `SOURCE_DATE_EPOCH ${epoch}` })),
  ...['x', '-1', '+5', '" 5"', '08', ''].map((epoch) => ({ dockerfile: `ARG SOURCE_DATE_EPOCH=${epoch}\nFROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL e=$SOURCE_DATE_EPOCH\nCOPY f1 /x\n` })),
  { dockerfile: 'FROM scratch\nARG SOURCE_DATE_EPOCH=5\nLABEL e=$SOURCE_DATE_EPOCH\nWORKDIR /w\n' },
] // prettier-ignore

const CONTEXT = { f1: '=1', f2: '755 =2', 'd/a': '=a' }

export const CONFIG_CASES: readonly BuildCase[] = [
  ...PLAIN.map((lines): BuildCase => ({
    name: lines,
    dockerfile: `FROM scratch\n${lines}\n`,
    context: CONTEXT,
    epoch: EPOCH,
  })),
  ...WHOLE.map((it, i): BuildCase => ({ name: `whole ${i}: ${it.dockerfile}`, context: CONTEXT, ...it })),
]
