// What `inspect --format` sees: docker's names for what lamella knows, beside its own. Pure.
// @see docker Engine API, ContainerInspect, ImageInspect, VolumeInspect
import type { ContainerInfo, VolumeInfo } from 'lamella/containers'

const time = (ms: number | undefined): string =>
  ms === undefined ? '0001-01-01T00:00:00Z' : new Date(ms).toISOString()

export function containerShape(info: ContainerInfo): object {
  const { settings, image, status } = info
  const [Path = '', ...Args] = [...settings.entrypoint, ...settings.cmd]
  return {
    ...info,
    Id: info.id,
    Name: `/${info.name}`,
    Created: time(info.createdMs),
    Image: image.descriptor.digest,
    Path,
    Args,
    State: {
      Status: status,
      Running: status === 'running',
      Paused: false,
      Restarting: false,
      Dead: status === 'dead',
      Pid: status === 'running' ? (info.pid ?? 0) : 0,
      ExitCode: info.exitCode ?? 0,
      Error: info.error ?? '',
      StartedAt: time(info.startedMs),
      FinishedAt: time(info.finishedMs),
    },
    Config: {
      Hostname: settings.hostname ?? info.id.slice(0, 12),
      User: settings.user,
      Tty: settings.tty ?? false,
      Env: settings.env.map(([name, value]) => `${name}=${value}`),
      Cmd: settings.cmd,
      Entrypoint: settings.entrypoint,
      Image: image.name,
      WorkingDir: settings.cwd,
      Labels: settings.labels,
      StopSignal: settings.stopSignal ?? 'SIGTERM',
    },
    HostConfig: {
      AutoRemove: info.removeOnExit,
      NetworkMode: settings.network,
      ReadonlyRootfs: settings.readOnlyRoot,
      Memory: settings.limits?.memoryBytes ?? 0,
      NanoCpus: Math.round((settings.limits?.cpus ?? 0) * 1e9),
      PidsLimit: settings.limits?.pids ?? 0,
    },
    Mounts: info.mounts.map((mount) => ({
      Type: mount.type,
      ...(mount.type === 'volume' ? { Name: mount.volume, Driver: 'local' } : {}),
      Source: mount.type === 'bind' ? mount.source : '',
      Destination: mount.target,
      RW: !mount.readOnly,
    })),
  }
}

export function volumeShape(volume: VolumeInfo): object {
  const { name, createdMs, labels } = volume
  return {
    ...volume,
    Name: name,
    Driver: 'local',
    Scope: 'local',
    CreatedAt: time(createdMs),
    Labels: labels,
  }
}

/** Of what `inspect` prints of an image. */
export function imageShape(image: object): object {
  const { digest, names, sizeBytes, layers, config } = image as {
    readonly digest: string
    readonly names: readonly string[]
    readonly sizeBytes: number
    readonly layers: readonly { readonly diffID: string }[]
    readonly config: Readonly<Record<string, unknown>>
  }
  return {
    ...image,
    Id: digest,
    RepoTags: names,
    Created: config.created,
    Architecture: config.architecture,
    Os: config.os,
    Variant: config.variant ?? '',
    Size: sizeBytes,
    Config: config.config ?? {},
    RootFS: { Type: 'layers', Layers: layers.map(({ diffID }) => diffID) },
  }
}
