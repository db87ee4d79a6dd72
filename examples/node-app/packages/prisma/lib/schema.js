// The schema language: enums and models with scalar and enum fields, `?`, `@id`, `@default(…)`.

/** Where a schema is looked for, relative to the project. */
export const SCHEMA_PLACES = ['schema.prisma', 'prisma/schema.prisma']

const SCALARS = new Set(['String', 'Int', 'Float', 'Boolean', 'DateTime'])

/** @returns {{ enums: Map<string, string[]>, models: Map<string, object[]> }} */
export function parseSchema(text) {
  const enums = new Map()
  const models = new Map()
  let block
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/\/\/.*$/, '').trim()
    if (line === '') continue
    const fail = (why) => {
      throw new Error(`line ${index + 1}: ${why}`)
    }
    const open = /^(datasource|generator|enum|model)\s+(\w+)\s*\{$/.exec(line)
    if (open !== null) {
      if (block !== undefined) fail('a block inside a block')
      block = { kind: open[1], name: open[2], lines: [] }
    } else if (line === '}') {
      if (block === undefined) fail('a closing brace without a block')
      if (block.kind === 'enum') enums.set(block.name, block.lines.map((entry) => entry.line))
      if (block.kind === 'model') models.set(block.name, block.lines.map(parseField))
      block = undefined
    } else if (block === undefined) fail(`unexpected "${line}"`)
    else block.lines.push({ line, number: index + 1 })
  }
  if (block !== undefined) throw new Error(`the block ${block.name} is not closed`)
  for (const [name, fields] of models) check(name, fields, enums)
  return { enums, models }
}

function parseField({ line, number }) {
  const match = /^(\w+)\s+(\w+)(\?)?\s*(.*)$/.exec(line)
  if (match === null) throw new Error(`line ${number}: not a field: "${line}"`)
  const [, name, type, optional, attributes] = match
  const value = /@default\((\w+(?:\(\))?|"[^"]*")\)/.exec(attributes)?.[1]
  return { name, type, optional: optional === '?', id: /@id\b/.test(attributes), default: value }
}

function check(model, fields, enums) {
  if (fields.filter((field) => field.id).length !== 1) throw new Error(`model ${model} needs exactly one @id`)
  for (const field of fields) {
    if (!SCALARS.has(field.type) && !enums.has(field.type)) throw new Error(`${model}.${field.name}: unknown type ${field.type}`)
  }
}
