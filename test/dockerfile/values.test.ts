// Small languages inside instructions: ports, platforms, signals, durations, mounts, image names, suggestions.
import { describe, expect, test } from 'vitest'
import {
  formatDuration,
  formatPlatform,
  mountSource,
  normalizePlatform,
  parseDockerfile,
  parseMount,
  parsePlatform,
  parsePort,
  parsePorts,
  parseSignal,
  suggest,
} from '../../src/builder/dockerfile/index.js'
import { parseCsvLine } from '../../src/builder/dockerfile/go-values.js'
import { isImageName } from '../../src/builder/dockerfile/image-name.js'
import { DockerfileError } from '../../src/errors.js'

/** The message of the DockerfileError that `action` throws. */
function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof DockerfileError) return error.message
    throw error
  }
  return 'no error'
}

// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert_expose_test.go
describe('ports', () => {
  test.each([
    { spec: '80', ports: '80/tcp' },
    { spec: '080', ports: '80/tcp' },
    { spec: '80/', ports: '80/tcp' },
    { spec: '80/udp', ports: '80/udp' },
    { spec: '80/SCTP', ports: '80/sctp', casing: true },
    { spec: '8000-8002', ports: '8000/tcp 8001/tcp 8002/tcp' },
    { spec: '8000-8000/udp', ports: '8000/udp' },
    { spec: '0', ports: '0/tcp' },
    { spec: '65535', ports: '65535/tcp' },
    { spec: ':80', ports: '80/tcp' },
    { spec: '1:80', ports: '80/tcp', host: true },
    { spec: '1-2:80-81', ports: '80/tcp 81/tcp', host: true },
    { spec: '1-2:80', ports: '80/tcp', host: true },
    { spec: '127.0.0.1::80', ports: '80/tcp', host: true },
    { spec: '127.0.0.1:1:80/UDP', ports: '80/udp', casing: true, host: true },
    { spec: '[::1]:1:80', ports: '80/tcp', host: true },
    { spec: '::1:1:80', ports: '80/tcp', host: true },
  ])('$spec', ({ spec, ports, casing = false, host = false }) => {
    expect(parsePort(spec)).toEqual({ ports: ports.split(' '), protocolCasing: casing, hostPart: host })
  })

  test.each([
    { spec: '', message: 'invalid port: "": no port specified' },
    { spec: '80:', message: 'invalid port: "80:": no port specified' },
    { spec: '/tcp', message: 'invalid port: "/tcp": no port specified' },
    { spec: '80/icmp', message: 'invalid port: "80/icmp": invalid proto: icmp' },
    { spec: '80/tcp/udp', message: 'invalid port: "80/tcp/udp": invalid proto: tcp/udp' },
    { spec: '65536', message: 'invalid containerPort: 65536' },
    { spec: 'http', message: 'invalid containerPort: http' },
    { spec: '80-', message: 'invalid containerPort: 80-' },
    { spec: '-80', message: 'invalid containerPort: -80' },
    { spec: '81-80', message: 'invalid containerPort: 81-80' },
    { spec: 'x:80', message: 'invalid hostPort: x' },
    { spec: '1-3:80-81', message: 'invalid ranges specified for container and host Ports: 80-81 and 1-3' },
    { spec: '256.0.0.1:1:80', message: 'invalid IP address: 256.0.0.1' },
    { spec: '01.0.0.1:1:80', message: 'invalid IP address: 01.0.0.1' },
    { spec: '[::1:1:80', message: "invalid IP address [::1: address [::1:: missing ']' in address" },
    { spec: '1::2::3:1:80', message: 'invalid IP address: 1::2::3' },
  ])('$spec is refused', ({ spec, message }) => expect(messageOf(() => parsePort(spec))).toBe(message))

  test('several, in order', () => {
    expect(parsePorts(['81', '80-81/udp'])).toEqual(['81/tcp', '80/udp', '81/udp'])
  })
})

// @see containerd/platforms platforms_test.go
describe('platforms', () => {
  const host = { os: 'linux', architecture: 'arm64', variant: 'v8' }
  test.each([
    { specifier: 'linux', want: 'linux/arm64/v8' },
    { specifier: 'windows', want: 'windows/arm64/v8' },
    { specifier: 'macOS', want: 'darwin/arm64/v8' },
    { specifier: 'amd64', want: 'linux/amd64' },
    { specifier: 'x86_64', want: 'linux/amd64' },
    { specifier: 'Linux/X86-64', want: 'linux/amd64' },
    { specifier: 'linux/amd64/v1', want: 'linux/amd64' },
    { specifier: 'linux/amd64/v2', want: 'linux/amd64/v2' },
    { specifier: 'i386', want: 'linux/386' },
    { specifier: 'linux/aarch64', want: 'linux/arm64' },
    { specifier: 'linux/arm64/8', want: 'linux/arm64/v8' },
    { specifier: 'linux/arm64/v8.0', want: 'linux/arm64/v8' },
    { specifier: 'linux/arm64/9', want: 'linux/arm64/v9' },
    { specifier: 'arm', want: 'linux/arm' },
    { specifier: 'linux/arm', want: 'linux/arm' },
    { specifier: 'linux/arm/7', want: 'linux/arm/v7' },
    { specifier: 'linux/arm/v6', want: 'linux/arm/v6' },
    { specifier: 'armhf', want: 'linux/arm' },
    { specifier: 'armel', want: 'linux/arm/v6' },
    { specifier: 'windows(10.0.17763)/amd64', want: 'windows/amd64' },
    { specifier: 'wasi/wasm', want: 'wasi/wasm' },
  ])('$specifier', ({ specifier, want }) => {
    expect(formatPlatform(parsePlatform(specifier, undefined, host))).toBe(want)
  })

  test('normal forms, and the version of a system', () => {
    expect(normalizePlatform({ os: 'linux', architecture: 'arm64', variant: 'v8' })).toEqual({
      os: 'linux',
      architecture: 'arm64',
    })
    expect(normalizePlatform({ os: 'linux', architecture: 'arm' })).toMatchObject({ variant: 'v7' })
    expect(parsePlatform('windows(10.0)/amd64')).toMatchObject({ 'os.version': '10.0' })
  })

  test.each([
    '',
    'linux/',
    '/amd64',
    'linux/arm/v7/x',
    'nope',
    'linux/*',
    'linux (1)',
    'linux/a b',
    'linux//v7',
  ])('%j is refused', (specifier) => {
    const message = messageOf(() => parsePlatform(specifier))
    expect(message.startsWith(`failed to parse platform ${specifier}: `)).toBe(true)
  })
})

// @see moby/sys/signal
test.each([
  { text: 'SIGTERM', want: 15 },
  { text: 'term', want: 15 },
  { text: 'SigKill', want: 9 },
  { text: '9', want: 9 },
  { text: '128', want: 128 },
  { text: 'RTMIN', want: 34 },
  { text: 'SIGRTMIN+3', want: 37 },
  { text: 'RTMAX-14', want: 50 },
  { text: 'RTMIN+16', want: undefined },
  { text: 'RTMAX-15', want: undefined },
  { text: '0', want: undefined },
  { text: 'SIGNOPE', want: undefined },
  { text: 'constructor', want: undefined },
  { text: '', want: undefined },
])('signal $text', ({ text, want }) => {
  if (want === undefined) expect(messageOf(() => parseSignal(text))).toBe(`invalid signal: ${text}`)
  else expect(parseSignal(text)).toBe(want)
})

// @see time.ParseDuration, moby/buildkit frontend/dockerfile/instructions/parse.go (parseOptInterval)
describe('durations', () => {
  const read = (text: string): number => {
    const { stages } = parseDockerfile(`FROM a\nHEALTHCHECK --interval=${text} CMD x\n`)
    return (stages[0]!.instructions[0] as { intervalNs: number }).intervalNs
  }
  test.each([
    { text: '30s', ns: 30e9 },
    { text: '1m30s', ns: 90e9 },
    { text: '1h', ns: 3600e9 },
    { text: '1.5s', ns: 1.5e9 },
    { text: '.5s', ns: 0.5e9 },
    { text: '1.s', ns: 1e9 },
    { text: '1ms', ns: 1e6 },
    { text: '1s1s', ns: 2e9 },
    { text: '+2s', ns: 2e9 },
    { text: '1500000us', ns: 1.5e9 },
    { text: '0', ns: 0 },
    { text: '0s', ns: 0 },
  ])('$text', ({ text, ns }) => expect(read(text)).toBe(ns))

  test.each([
    { text: '1', message: 'time: missing unit in duration "1"' },
    { text: '1d', message: 'time: unknown unit "d" in duration "1d"' },
    { text: 'x', message: 'time: invalid duration "x"' },
    { text: '.s', message: 'time: invalid duration ".s"' },
    { text: '10000000000000h', message: 'time: invalid duration "10000000000000h"' },
    { text: '1us', message: 'Interval "interval" cannot be less than 1ms' },
    { text: '-1s', message: 'Interval "interval" cannot be less than 1ms' },
  ])('$text is refused', ({ text, message }) => expect(messageOf(() => read(text))).toBe(message))

  test.each([
    { ns: 0, want: '0s' },
    { ns: 1, want: '1ns' },
    { ns: 1_100, want: '1.1\u00b5s' },
    { ns: 2_200_000, want: '2.2ms' },
    { ns: 3.3e9, want: '3.3s' },
    { ns: 90e9, want: '1m30s' },
    { ns: 3600e9, want: '1h0m0s' },
    { ns: 3661.5e9, want: '1h1m1.5s' },
    { ns: -1e6, want: '-1ms' },
  ])('$ns ns as $want', ({ ns, want }) => expect(formatDuration(ns)).toBe(want))
})

// @see moby/buildkit frontend/dockerfile/instructions/commands_runmount.go
describe('mounts', () => {
  const defaults = { type: 'bind', readOnly: true, required: false }
  const read = (spec: string): Record<string, unknown> => ({
    ...parseMount(spec, (word) => word.replaceAll('$X', 'x')),
  })
  test.each([
    { spec: 'target=/a', want: {} },
    { spec: 'type=bind,dst=/a,src=b,from=c', want: { source: 'b', from: 'c' } },
    { spec: 'TYPE=Cache,destination=/a', want: { type: 'cache', readOnly: false } },
    {
      spec: 'type=cache,target=/a,id=$X,sharing=LOCKED',
      want: { type: 'cache', readOnly: false, id: 'x', sharing: 'locked' },
    },
    {
      spec: 'type=cache,target=/a,ro,mode=0755,uid=1,gid=2',
      want: { type: 'cache', mode: 0o755, uid: 1, gid: 2 },
    },
    {
      spec: 'type=tmpfs,target=/a,size=1.5m',
      want: { type: 'tmpfs', readOnly: false, sizeBytes: 1_572_864 },
    },
    { spec: 'target=/a,rw', want: { readOnly: false } },
    { spec: 'target=/a,rw=false', want: {} },
    { spec: 'target=/a,readonly=0', want: { readOnly: false } },
    { spec: '"target=/a"', want: {} },
    { spec: '"target=/a","source=b,c"', want: { source: 'b,c' } },
    { spec: 'type=secret,id=i,target=/a,required', want: { type: 'secret', id: 'i', required: true } },
    {
      spec: 'type=secret,source=s,target=/a,env=E,mode=400',
      want: { type: 'secret', source: 's', env: 'E', mode: 0o400 },
    },
    { spec: 'type=ssh,target=/a,required=true', want: { type: 'ssh', required: true } },
  ])('$spec', ({ spec, want }) => {
    const got = Object.entries(read(spec)).filter(([, value]) => value !== undefined)
    expect(Object.fromEntries(got)).toEqual({ ...defaults, target: '/a', ...want })
  })

  test.each([
    { spec: 'target', message: "invalid field 'target' must be a key=value pair" },
    { spec: 'type=bnd', message: 'unsupported mount type "bnd" (did you mean bind?)' },
    { spec: 'taget=/a', message: "unexpected key 'taget' in 'taget=/a' (did you mean target?)" },
    { spec: 'type=cache,sharing=share', message: 'unsupported sharing value "share" (did you mean shared?)' },
    { spec: 'target=/a,required', message: "unexpected key 'required' for mount type 'bind'" },
    { spec: 'target=/a,size=1', message: "unexpected key 'size' for mount type 'bind'" },
    { spec: 'type=tmpfs,size=x', message: 'invalid value for size: x' },
    { spec: 'ro=maybe', message: 'invalid value for ro: maybe' },
    { spec: 'type=cache,mode=9', message: 'invalid value 9 for mode' },
    { spec: 'type=cache,uid=-1', message: 'invalid value -1 for uid' },
    { spec: 'mode=1', message: 'mode not allowed for "bind" type mounts' },
    { spec: 'type=tmpfs,gid=1', message: 'gid not allowed for "tmpfs" type mounts' },
    { spec: 'sharing=shared', message: 'invalid cache sharing set for bind mount' },
    { spec: 'type=secret', message: 'invalid secret mount. one of source, target required' },
    { spec: 'type=secret,id=a,source=b', message: "both source and id can't be set" },
    { spec: 'type=secret,id=a,from=b', message: 'secret mount should not have a from' },
    {
      spec: 'a"b',
      message: 'failed to parse csv mounts: parse error on line 1, column 2: bare " in non-quoted-field',
    },
  ])('$spec is refused', ({ spec, message }) => expect(messageOf(() => read(spec))).toContain(message))

  test('where a mount comes from is known without variables', () => {
    expect(mountSource('type=cache,target=$Y,from=base')).toBe('base')
    expect(mountSource('target=/a')).toBeUndefined()
    expect(messageOf(() => mountSource('from=$X,target=/a'))).toContain(
      "'from' doesn't support variable expansion, define alias stage instead",
    )
  })
})

// @see encoding/csv
test.each([
  { text: 'a,b', want: ['a', 'b'] },
  { text: 'a,,', want: ['a', '', ''] },
  { text: '"a,b",c', want: ['a,b', 'c'] },
  { text: '"a""b"', want: ['a"b'] },
  { text: '""', want: [''] },
  { text: ' a , b ', want: [' a ', ' b '] },
])('csv $text', ({ text, want }) => expect(parseCsvLine(text)).toEqual(want))

test.each(['a"b', '"a', '"a"b', '', '"a""'])('csv %j is refused', (text) => {
  expect(() => parseCsvLine(text)).toThrow()
})

// @see distribution/reference reference_test.go
test.each([
  { text: 'a', want: true },
  { text: 'library/a:1.0_x-y', want: true },
  { text: 'Host/a', want: true },
  { text: 'example.com:5000/a/b-c__d.e', want: true },
  { text: 'localhost/a', want: true },
  { text: '[::1]:5000/a', want: true },
  { text: `a@sha256:${'0'.repeat(64)}`, want: true },
  { text: `a:t@sha256:${'0'.repeat(64)}`, want: true },
  { text: '', want: false },
  { text: 'A', want: false },
  { text: 'a/B', want: false },
  { text: 'a:', want: false },
  { text: 'a//b', want: false },
  { text: '-a', want: false },
  { text: 'a-', want: false },
  { text: 'a___b', want: false },
  { text: 'a..b', want: false },
  { text: 'a:-x', want: false },
  { text: `a:${'x'.repeat(129)}`, want: false },
  { text: 'a@sha256:00', want: false },
  { text: '0'.repeat(64), want: false },
  { text: 'a'.repeat(256), want: false },
  { text: 'ex_ample.com/a', want: false },
])('image name $text', ({ text, want }) => expect(isImageName(text)).toBe(want))

// @see moby/buildkit util/suggest/error_test.go
test.each([
  { word: 'RUM', options: ['RUN', 'ENV'], want: 'RUN' },
  { word: 'bulid', options: ['build'], want: 'build' },
  { word: 'build', options: ['build', 'built'], want: undefined },
  { word: 'xyz', options: ['abc'], want: undefined },
  { word: 'ac', options: ['ab', 'aa'], want: 'aa' },
  { word: 'a', options: [], want: undefined },
])('$word of $options', ({ word, options, want }) => expect(suggest(word, options)).toBe(want))

test('a suggestion follows the casing of the word', () => {
  expect(suggest('RUM', ['run'], false)).toBe('RUN')
  expect(suggest('rum', ['RUN'], false)).toBe('run')
  expect(suggest('RUN', ['run'], false)).toBeUndefined()
})
