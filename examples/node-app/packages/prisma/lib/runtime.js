// The engine behind the generated client: one Map a model, records copied on the way in and out.

const DEFAULTS = {
  'now()': () => new Date(),
  'autoincrement()': (state) => ++state.last,
}

function defaultOf(field, state) {
  if (field.default === undefined) return null
  const make = DEFAULTS[field.default]
  return make === undefined ? field.default.replaceAll('"', '') : make(state)
}

const matches = (record, where) => Object.entries(where ?? {}).every(([key, value]) => record[key] === value)

export function createDelegate({ model, fields }) {
  const id = fields.find((field) => field.id).name
  const records = new Map()
  const state = { last: 0 }
  const mustFind = (where) => {
    const record = records.get(where[id])
    if (record === undefined) throw new Error(`${model} ${String(where[id])} does not exist`)
    return record
  }
  return {
    create({ data }) {
      const record = {}
      for (const field of fields) {
        const value = data[field.name] ?? defaultOf(field, state)
        if (value === null && !field.optional) throw new Error(`${model}.${field.name} is missing`)
        record[field.name] = value
      }
      if (records.has(record[id])) throw new Error(`${model} ${String(record[id])} exists`)
      records.set(record[id], record)
      return { ...record }
    },
    findUnique({ where }) {
      const record = records.get(where[id])
      return record === undefined ? null : { ...record }
    },
    findMany({ where } = {}) {
      return [...records.values()].filter((record) => matches(record, where)).map((record) => ({ ...record }))
    },
    update({ where, data }) {
      return { ...Object.assign(mustFind(where), data) }
    },
    delete({ where }) {
      const record = mustFind(where)
      records.delete(record[id])
      return record
    },
    count({ where } = {}) {
      return this.findMany({ where }).length
    },
  }
}
