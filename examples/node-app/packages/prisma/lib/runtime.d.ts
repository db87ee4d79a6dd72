export interface Delegate<T, Create> {
  create(args: { data: Create }): T
  findUnique(args: { where: Partial<T> }): T | null
  findMany(args?: { where?: Partial<T> }): T[]
  update(args: { where: Partial<T>; data: Partial<T> }): T
  delete(args: { where: Partial<T> }): T
  count(args?: { where?: Partial<T> }): number
}

export declare function createDelegate<T, Create>(model: { model: string; fields: readonly object[] }): Delegate<T, Create>
