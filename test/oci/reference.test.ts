import { describe, expect, test } from 'vitest'
import { familiarName, parseReference, refNameOf } from '../../src/oci/index.js'

const DIGEST = `sha256:${'a'.repeat(64)}`

// distribution/reference: reference.go (grammar), normalize.go (docker.io, library/, localhost).
describe('parseReference', () => {
  test.each([
    ['node', 'docker.io', 'library/node', undefined, undefined],
    ['node:20', 'docker.io', 'library/node', '20', undefined],
    ['me/app', 'docker.io', 'me/app', undefined, undefined],
    ['docker.io/node', 'docker.io', 'library/node', undefined, undefined],
    ['index.docker.io/library/node', 'docker.io', 'library/node', undefined, undefined],
    ['localhost/app', 'localhost', 'app', undefined, undefined],
    ['localhost:5000/app:v1', 'localhost:5000', 'app', 'v1', undefined],
    ['ghcr.io/a/b/c:d', 'ghcr.io', 'a/b/c', 'd', undefined],
    ['[::1]:5000/app', '[::1]:5000', 'app', undefined, undefined],
    [`node@${DIGEST}`, 'docker.io', 'library/node', undefined, DIGEST],
    [`node:20@${DIGEST}`, 'docker.io', 'library/node', '20', DIGEST],
    ['a__b/c-d--e.f', 'docker.io', 'a__b/c-d--e.f', undefined, undefined],
    ['Local/app', 'Local', 'app', undefined, undefined],
    [`x:${'t'.repeat(128)}`, 'docker.io', 'library/x', 't'.repeat(128), undefined],
  ])('%s', (text, registry, repository, tag, digest) => {
    expect(parseReference(text)).toEqual({ registry, repository, tag, digest })
  })

  test.each([
    ['', 'empty'],
    ['Node', 'lower case'],
    ['a//b', 'repository'],
    ['a/', 'repository'],
    ['-a', 'repository'],
    ['a___b', 'repository'],
    ['a:', 'tag'],
    ['a:.x', 'tag'],
    [`a:${'t'.repeat(129)}`, 'tag'],
    ['a@sha256:12', 'digest'],
    ['a@', 'digest'],
    ['a b', 'repository'],
    ['ex_ample.com/a', 'registry'],
    [`${'a'.repeat(250)}`, 'characters'],
  ])('refuses %j', (text, part) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'REFERENCE_INVALID' }))
    expect(() => parseReference(text)).toThrow(part)
  })
})

describe('familiarName and refNameOf', () => {
  test.each([
    ['node', 'node', 'node:latest'],
    ['docker.io/library/node:20', 'node:20', 'node:20'],
    ['docker.io/me/app', 'me/app', 'me/app:latest'],
    ['library/a/b', 'library/a/b', 'library/a/b:latest'],
    ['quay.io/x/y:1', 'quay.io/x/y:1', 'quay.io/x/y:1'],
    [`node@${DIGEST}`, `node@${DIGEST}`, `node@${DIGEST}`],
  ])('%s', (text, familiar, ref) => {
    expect(familiarName(parseReference(text))).toBe(familiar)
    expect(refNameOf(text)).toBe(ref)
  })
})
