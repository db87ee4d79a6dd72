// The file operation as the cache sees it: definition, inputs, and what they count by. What carries it out is loaded when it
// has to run.
// @see moby/buildkit solver/llbsolver/ops/file.go
import { digestOf } from '../../digest.js'
import { BuildError } from '../../errors.js'
import { baseNameOf, normalizePath } from '../../path.js'
import type { ContentSelector } from '../content-selector.js'
import { contentKeyOf } from '../contenthash.js'
import { fileOpDigest, fileSelector, type CopyAction, type OwnerSpec } from '../key.js'
import type { FileDefinition } from '../op-factory.js'
import type { CacheDep, CacheMap, Op, Result, RunContext } from '../vertex.js'
import type { OpServices } from './result.js'

export class FileOp implements Op {
  readonly kind = 'file'

  constructor(
    private readonly definition: FileDefinition,
    private readonly services: OpServices,
  ) {}

  cacheMaps(): Iterable<CacheMap> {
    const { actions, inputCount, title } = this.definition
    const deps = Array.from({ length: inputCount }, (_, i) => this.dependency(i))
    return [{ digest: fileOpDigest(actions, inputCount), deps, preimage: preimageOf(title, this.definition) }]
  }

  /** An input that is written to counts by definition alone; one that is only read counts by what is read of it. */
  private dependency(input: number): CacheDep {
    const { actions } = this.definition
    if (actions.some((placed) => placed.input === input)) return { selector: undefined }
    const selectors: ContentSelector[] = []
    for (const { action, secondaryInput } of actions) {
      selectors.push(...accountSelectors(action.owner, input))
      if (action.kind === 'copy' && secondaryInput === input) selectors.push(selectorOf(action))
    }
    if (selectors.length === 0) return { selector: undefined }
    return {
      selector: fileSelector(selectors.map(({ path }) => path)),
      content: async (result) => {
        try {
          return await contentKeyOf(result, selectors)
        } catch (error) {
          throw this.locate(error)
        }
      },
    }
  }

  async run(inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    try {
      const { FileRun } = await import('./file.js')
      return [await new FileRun(this.definition, this.services).run(inputs, context)]
    } catch (error) {
      throw this.locate(error)
    }
  }

  /** Adds the instruction's place, and says so where a path was kept inside the context. */
  private locate(error: unknown): unknown {
    const { location, clamped } = this.definition
    if (!(error instanceof BuildError) || error.location !== undefined || location === undefined) return error
    const { data, cause = error } = error
    const written = clamped?.get(`/${normalizePath(String(data.path))}`)
    if (error.code !== 'SOURCE_NOT_FOUND' || written === undefined) {
      return new BuildError(error.code, error.message, { location, data, cause })
    }
    return new BuildError(
      'PATH_ESCAPES_CONTEXT',
      `${error.message} (${written} leads out of the build context; nothing outside it is ever read)`,
      { location, data: { ...data, written }, cause },
    )
  }
}

function accountSelectors(owner: OwnerSpec | undefined, input: number): ContentSelector[] {
  const named = (part: OwnerSpec['user']): boolean =>
    part !== undefined && 'name' in part && part.input === input
  const files = [named(owner?.user) ? '/etc/passwd' : '', named(owner?.group) ? '/etc/group' : '']
  return files.filter((path) => path !== '').map((path) => ({ path, followLinks: true }))
}

function selectorOf(action: CopyAction): ContentSelector {
  return {
    path: action.src,
    wildcard: action.allowWildcard,
    followLinks: action.followSymlink,
    include: action.includePatterns,
    exclude: action.excludePatterns,
  }
}

function preimageOf(title: string, definition: FileDefinition): Map<string, string> {
  const out = new Map([['instruction', title]])
  for (const [i, { action }] of definition.actions.entries()) {
    const name = (field: string): string => (definition.actions.length === 1 ? field : `${field}[${i}]`)
    if (action.kind === 'copy') {
      out.set(name('source'), baseNameOf(action.src) || '/')
      out.set(name('dest'), action.dest)
      if (action.excludePatterns !== undefined) out.set(name('exclude'), action.excludePatterns.join(' '))
      if (action.includePatterns !== undefined) out.set(name('parents'), action.includePatterns.join(' '))
      if (action.modeStr !== undefined) out.set(name('chmod'), action.modeStr)
      else if (action.mode !== -1) out.set(name('chmod'), action.mode.toString(8))
    } else out.set(name('path'), action.path)
    if (action.kind === 'mkfile') out.set(name('content'), digestOf(action.data))
    if (action.owner !== undefined) out.set(name('chown'), ownerText(action.owner))
    if (action.timestampNs !== -1n)
      out.set(name('SOURCE_DATE_EPOCH'), String(action.timestampNs / 1_000_000_000n))
  }
  return out
}

function ownerText(owner: OwnerSpec): string {
  return [owner.user, owner.group]
    .flatMap((part) => (part === undefined ? [] : 'id' in part ? [String(part.id)] : [part.name]))
    .join(':')
}
