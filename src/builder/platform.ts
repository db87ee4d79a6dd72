// Platforms of a build: what runs it, what it is for, and the variables that tell a Dockerfile. Pure but for the default.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/platform.go
import type { Platform } from '../descriptor.js'
import { formatPlatform } from './dockerfile/index.js'
import { EnvList } from './env-list.js'

/** What containers get when an image sets no PATH. @see moby/buildkit util/system/path.go */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface BuildPlatforms {
  /** The machine that builds. */
  readonly build: Platform
  /** What the image is for. */
  readonly target: Platform
  /** The target was not asked for: an image of another platform may decide. */
  readonly implicitTarget: boolean
}

export function choosePlatforms(target: Platform | undefined, build: Platform | undefined): BuildPlatforms {
  const buildPlatform = build ?? target ?? DEFAULT_PLATFORM
  return { build: buildPlatform, target: target ?? buildPlatform, implicitTarget: target === undefined }
}

/** lamella builds Linux images; the architecture is a label unless an executor runs binaries. */
export const DEFAULT_PLATFORM: Platform = { os: 'linux', architecture: 'amd64' }

/** The automatic arguments of the global scope, build-args first. */
export function automaticArgs(
  platforms: BuildPlatforms,
  overrides: ReadonlyMap<string, string>,
  targetStage: string | undefined,
): EnvList {
  const { build, target } = platforms
  const args: [string, string][] = [
    ['BUILDPLATFORM', formatPlatform(build)],
    ['BUILDOS', build.os],
    ['BUILDOSVERSION', build['os.version'] ?? ''],
    ['BUILDARCH', build.architecture],
    ['BUILDVARIANT', build.variant ?? ''],
    ['TARGETPLATFORM', formatPlatform(target)],
    ['TARGETOS', target.os],
    ['TARGETOSVERSION', target['os.version'] ?? ''],
    ['TARGETARCH', target.architecture],
    ['TARGETVARIANT', target.variant ?? ''],
    ['TARGETSTAGE', targetStage === undefined || targetStage === '' ? 'default' : targetStage],
  ]
  return EnvList.of(args.map(([name, value]) => [name, overrides.get(name) ?? value]))
}
