// RUN as the cache sees it: definition, inputs, and what they count by. What carries it out is loaded when it has to run: a
// rebuild that finds everything needs neither views nor executors.
// @see moby/buildkit solver/llbsolver/ops/exec.go
import { normalizePath } from '../../path.js'
import { contentKeyOf } from '../contenthash.js'
import { execOpDigest, mountSelector, type ExecMountSpec } from '../key.js'
import type { RunDefinition } from '../op-factory.js'
import type { CacheDep, CacheMap, Op, Result, RunContext } from '../vertex.js'
import type { ExecServices } from './exec.js'

export class ExecOp implements Op {
  readonly kind = 'exec'

  constructor(
    private readonly definition: RunDefinition,
    private readonly services: ExecServices,
  ) {}

  cacheMaps(): Iterable<CacheMap> {
    const { spec } = this.definition
    const inputs = Math.max(-1, ...spec.mounts.map(({ input }) => input)) + 1
    const deps = Array.from({ length: inputs }, (_, i) => this.dependency(i))
    return [{ digest: execOpDigest(spec), deps, preimage: preimageOf(this.definition) }]
  }

  /** The root counts by definition; what is mounted and cannot be changed counts by content. @see getMountDeps */
  private dependency(input: number): CacheDep {
    const mounts = this.definition.spec.mounts.filter((mount) => mount.input === input)
    const paths = mounts.map(({ selector }) => `/${normalizePath(selector ?? '/')}`)
    const last = mounts.at(-1)
    const byContent = last !== undefined && last.dest !== '/' && (last.output === -1 || last.readonly)
    if (!byContent) return { selector: mountSelector(paths) }
    const selectors = paths.includes('/') ? [] : paths.map((path) => ({ path, followLinks: true }))
    return { selector: mountSelector(paths), content: (result) => contentKeyOf(result, selectors) }
  }

  async run(inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    const { ExecRun } = await import('./exec.js')
    return new ExecRun(this.definition, this.services).run(inputs, context)
  }
}

function preimageOf(definition: RunDefinition): Map<string, string> {
  const { spec, commandLine } = definition
  const out = new Map([['instruction', `RUN ${commandLine}`]])
  out.set('args', JSON.stringify(spec.args))
  for (const pair of spec.env) {
    const at = pair.indexOf('=')
    out.set(`env.${pair.slice(0, at)}`, pair.slice(at + 1))
  }
  out.set('env order', spec.env.map((pair) => pair.slice(0, pair.indexOf('='))).join(' '))
  out.set('workdir', spec.cwd)
  if (spec.user !== undefined && spec.user !== '') out.set('user', spec.user)
  if (spec.network !== 'default') out.set('network', spec.network)
  for (const mount of spec.mounts) if (mount.dest !== '/') out.set(`mount.${mount.dest}`, mountText(mount))
  const { os, architecture, variant } = spec.platform
  out.set('platform', [os, architecture, variant].filter((part) => part !== undefined).join('/'))
  return out
}

function mountText(mount: ExecMountSpec): string {
  const size = mount.tmpfsSize === undefined ? '' : ` size=${mount.tmpfsSize}`
  return `${mount.type}${mount.readonly ? ' readonly' : ''}${size}`
}
