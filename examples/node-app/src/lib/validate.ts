// Checks of what comes in from outside: a value of the wanted shape, or a 400 that names the field.
import { HttpError } from '@desk/http'

export type Fields = Readonly<Record<string, unknown>>

export function asFields(body: unknown): Fields {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new HttpError(400, 'a JSON object is needed')
  return body as Fields
}

export function textField(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string' || value.trim() === '') throw new HttpError(400, `${name} must be text that is not empty`)
  return value.trim()
}

export function countField(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value !== 'number' || !Number.isInteger(value) || value <= 0) {
    throw new HttpError(400, `${name} must be a whole number above 0`)
  }
  return value
}
