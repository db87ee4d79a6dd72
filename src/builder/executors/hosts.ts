// Who a RUN is on the network, and whom it knows: /etc/hosts as BuildKit writes it. Pure.
// @see moby/buildkit executor/oci/hosts.go

export const HOSTNAME = 'buildkitsandbox'

export function hostsFile(
  extra: readonly (readonly [name: string, address: string])[],
  hostname = HOSTNAME,
): string {
  const own = `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`
  return own + extra.map(([name, address]) => `${address}\t${name}\n`).join('')
}
