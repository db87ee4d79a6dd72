// Platform specifiers: `linux`, `arm64`, `linux/arm/v7`.
// @see containerd/platforms (Parse, Format, normalizeArch)
import type { Platform } from '../../descriptor.js'
import { DockerfileError, type SourceLocation } from '../../errors.js'
import { quote } from './text.js'

const OSES = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
)
const ARCHITECTURES = new Set(
  (
    '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 ' +
    'mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'
  ).split(' '),
)

const OS_COMPONENT = '^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$'
const COMPONENT = '^[A-Za-z0-9_.-]+$'

/** What completes a specifier that names only a system or only an architecture. */
const HOST: Platform = { os: 'linux', architecture: 'amd64' }

/**
 * @param at    what an error points at; without it the specifier itself
 * @param host  where the build runs
 * @throws DockerfileError ARGUMENT_INVALID
 */
export function parsePlatform(specifier: string, at?: SourceLocation, host: Platform = HOST): Platform {
  const fail = (reason: string): DockerfileError =>
    new DockerfileError(
      'ARGUMENT_INVALID',
      `failed to parse platform ${specifier}: ${reason}`,
      at ?? {
        file: '<platform>',
        range: { start: { line: 1, column: 1 }, end: { line: 1, column: specifier.length + 1 } },
        line: specifier,
      },
    )
  if (specifier.includes('*'))
    throw fail(`${quote(specifier)}: wildcards not yet supported: invalid argument`)
  const parts = specifier.split('/')
  const system = new RegExp(OS_COMPONENT).exec(parts[0]!)
  if (system === null) {
    const rule = `OSAndVersion specifier component must match ${quote(OS_COMPONENT)}`
    throw fail(
      `${quote(parts[0]!)} is an invalid OS component of ${quote(specifier)}: ${rule}: invalid argument`,
    )
  }
  for (const part of parts.slice(1, 4)) {
    if (new RegExp(COMPONENT).test(part)) continue
    const rule = `platform specifier component must match ${quote(COMPONENT)}`
    throw fail(`${quote(part)} is an invalid component of ${quote(specifier)}: ${rule}: invalid argument`)
  }
  const os = normalizeOs(system[1]!)
  const version = system[2] ? { 'os.version': system[2] } : {}
  if (parts.length === 1) {
    if (OSES.has(os)) return { ...host, os, ...version }
    const arch = normalizeArch(parts[0]!, '')
    if (ARCHITECTURES.has(arch.architecture)) return { os: host.os, ...shorten(arch) }
    throw fail(`${quote(specifier)}: unknown operating system or architecture: invalid argument`)
  }
  if (parts.length > 3) throw fail(`${quote(specifier)}: cannot parse platform specifier: invalid argument`)
  const arch = normalizeArch(parts[1]!, parts[2] ?? '')
  if (parts.length === 2) return { os, ...version, ...shorten(arch) }
  return {
    os,
    ...version,
    ...named(arch.architecture === 'arm64' && arch.variant === '' ? { ...arch, variant: 'v8' } : arch),
  }
}

/** `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/')
}

/** With canonical names: `x86_64` → `amd64`, `arm64/v8` → `arm64`, `arm` → `arm/v7`. */
export function normalizePlatform(platform: Platform): Platform {
  const { variant: _, ...rest } = platform
  return {
    ...rest,
    os: normalizeOs(platform.os),
    ...named(normalizeArch(platform.architecture, platform.variant ?? '')),
  }
}

interface Arch {
  readonly architecture: string
  readonly variant: string
}

function named({ architecture, variant }: Arch): Pick<Platform, 'architecture' | 'variant'> {
  return variant === '' ? { architecture } : { architecture, variant }
}

/** The default variant of arm is not told unless it was asked for. */
function shorten(arch: Arch): Pick<Platform, 'architecture' | 'variant'> {
  return named(arch.architecture === 'arm' && arch.variant === 'v7' ? { ...arch, variant: '' } : arch)
}

function normalizeOs(os: string): string {
  const lower = os.toLowerCase()
  return lower === 'macos' ? 'darwin' : lower
}

function normalizeArch(givenArchitecture: string, givenVariant: string): Arch {
  const architecture = givenArchitecture.toLowerCase()
  const variant = givenVariant.toLowerCase()
  switch (architecture) {
    case 'i386':
      return { architecture: '386', variant: '' }
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return { architecture: 'amd64', variant: variant === 'v1' ? '' : variant }
    case 'aarch64':
    case 'arm64':
      if (['8', 'v8', 'v8.0'].includes(variant)) return { architecture: 'arm64', variant: '' }
      return { architecture: 'arm64', variant: ['9', '9.0', 'v9.0'].includes(variant) ? 'v9' : variant }
    case 'armhf':
      return { architecture: 'arm', variant: 'v7' }
    case 'armel':
      return { architecture: 'arm', variant: 'v6' }
    case 'arm':
      if (variant === '' || variant === '7') return { architecture, variant: 'v7' }
      return { architecture, variant: ['5', '6', '8'].includes(variant) ? `v${variant}` : variant }
    default:
      return { architecture, variant }
  }
}
