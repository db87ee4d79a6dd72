// An ordered list of variables as BuildKit keeps it: setting a variable again moves it to the end. Pure.
// @see moby/buildkit client/llb/meta.go EnvList

/** Immutable; `set` gives a new list. The order enters the key of RUN. */
export class EnvList {
  static readonly EMPTY: EnvList = new EnvList(new Map())

  private constructor(private readonly values: ReadonlyMap<string, string>) {}

  static of(pairs: Iterable<readonly [name: string, value: string]>): EnvList {
    let list = EnvList.EMPTY
    for (const [name, value] of pairs) list = list.set(name, value)
    return list
  }

  set(name: string, value: string): EnvList {
    const values = new Map(this.values)
    values.delete(name)
    return new EnvList(values.set(name, value))
  }

  delete(name: string): EnvList {
    const values = new Map(this.values)
    return values.delete(name) ? new EnvList(values) : this
  }

  get(name: string): string | undefined {
    return this.values.get(name)
  }

  /** For expansion: names to values. */
  get map(): ReadonlyMap<string, string> {
    return this.values
  }

  /** `name=value`, oldest assignment first. */
  toArray(): string[] {
    return [...this.values].map(([name, value]) => `${name}=${value}`)
  }

  entries(): [name: string, value: string][] {
    return [...this.values]
  }
}

/** Splits `name=value`; without `=` the value is empty. */
export function splitPair(text: string): [name: string, value: string] {
  const at = text.indexOf('=')
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
