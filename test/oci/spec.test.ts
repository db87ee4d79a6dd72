import { describe, expect, test } from 'vitest'
import { goJson } from '../../src/descriptor.js'
import { encodeConfig, encodeManifest, parseConfig, parseIndex, parseManifest } from '../../src/oci/index.js'
import type { ImageConfig } from '../../src/oci/index.js'

const DIGEST = `sha256:${'a'.repeat(64)}`
const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: DIGEST, size: 3 }
const manifest = { schemaVersion: 2, config: descriptor, layers: [descriptor] }
const config = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [DIGEST] } }

const bytes = (value: unknown) =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const text = (value: Uint8Array) => new TextDecoder().decode(value)

// OCI image-spec v1.1 manifest.md, image-index.md, config.md: what is required, and of what type.
describe('parsers name the field that is wrong', () => {
  test.each([
    [parseManifest, 'no json', 'manifest'],
    [parseManifest, [], 'manifest'],
    [parseManifest, { ...manifest, schemaVersion: 1 }, 'manifest.schemaVersion'],
    [parseManifest, { ...manifest, schemaVersion: '2' }, 'manifest.schemaVersion'],
    [parseManifest, { ...manifest, mediaType: 'text/plain' }, 'manifest.mediaType'],
    [parseManifest, { ...manifest, config: undefined }, 'manifest.config'],
    [parseManifest, { ...manifest, layers: {} }, 'manifest.layers'],
    [
      parseManifest,
      { ...manifest, layers: [descriptor, { ...descriptor, size: -1 }] },
      'manifest.layers[1].size',
    ],
    [
      parseManifest,
      { ...manifest, layers: [{ ...descriptor, digest: 'md5:1' }] },
      'manifest.layers[0].digest',
    ],
    [parseManifest, { ...manifest, manifests: [] }, 'manifest.manifests'],
    [parseManifest, { ...manifest, annotations: { a: 1 } }, 'manifest.annotations.a'],
    [parseIndex, { schemaVersion: 2 }, 'index.manifests'],
    [
      parseIndex,
      { schemaVersion: 2, manifests: [{ ...descriptor, platform: {} }] },
      'index.manifests[0].platform.os',
    ],
    [parseConfig, { ...config, os: 7 }, 'config.os'],
    [parseConfig, { ...config, rootfs: { type: 'x' } }, 'config.rootfs.type'],
    [parseConfig, { ...config, rootfs: { type: 'layers', diff_ids: ['x'] } }, 'config.rootfs.diff_ids[0]'],
    [parseConfig, { ...config, config: { Env: 'A=1' } }, 'config.config.Env'],
    [parseConfig, { ...config, config: { Cmd: [1] } }, 'config.config.Cmd[0]'],
    [parseConfig, { ...config, config: { Volumes: { '/x': 1 } } }, 'config.config.Volumes./x'],
    [parseConfig, { ...config, history: [{ empty_layer: 'no' }] }, 'config.history[0].empty_layer'],
  ])('%o %#', (parse, value, field) => {
    expect(() => parse(bytes(value))).toThrow(
      expect.objectContaining({ code: 'IMAGE_INVALID', data: { field } }),
    )
  })

  test('what Go writes for an empty list is an empty list', () => {
    const parsed = parseConfig(bytes({ ...config, rootfs: { type: 'layers', diff_ids: null } }))
    expect(parsed.rootfs.diff_ids).toEqual([])
  })
})

describe('encoding', () => {
  test('a config has BuildKit’s order and Go’s escapes, keeps unknown fields, drops empty ones', () => {
    const encoded = encodeConfig({
      rootfs: { type: 'layers', diff_ids: [] },
      os: 'linux',
      history: [{ empty_layer: false, comment: 'c', created_by: 'RUN a && b <x>', created: 't' }],
      config: { Cmd: ['a'], Labels: { b: '1', a: '2' }, Env: ['A=1'], WorkingDir: '', Volumes: {} },
      architecture: 'amd64',
      'moby.buildkit.cache.v0': 'x',
    } as unknown as ImageConfig)
    expect(text(encoded)).toBe(
      '{"architecture":"amd64","config":{"Env":["A=1"],"Cmd":["a"],"Labels":{"a":"2","b":"1"}},' +
        '"history":[{"created":"t","created_by":"RUN a \\u0026\\u0026 b \\u003cx\\u003e","comment":"c"}],' +
        '"moby.buildkit.cache.v0":"x","os":"linux","rootfs":{"type":"layers","diff_ids":null}}',
    )
  })

  test('a manifest survives a round trip, fields in the spec’s order', () => {
    const parsed = parseManifest(bytes({ layers: [descriptor], config: descriptor, schemaVersion: 2 }))
    const encoded = encodeManifest(parsed)
    expect(text(encoded).indexOf('"config"')).toBeLessThan(text(encoded).indexOf('"layers"'))
    expect(parseManifest(encoded)).toEqual(parsed)
  })
})

// encoding/json sorts the keys of maps by their bytes. JavaScript puts keys that look like array indexes first, by their
// number, and takes `__proto__` for the prototype. A live BuildKit 0.25 wrote these labels in this order.
test('maps with keys that JavaScript treats in ways of its own', () => {
  const labels = JSON.parse(
    '{"2":"b","10":"a","constructor":"y","__proto__":"x","0":"","01":"","\u{1f600}":"","\uffee":""}',
  )
  const config = {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [] },
    config: { Labels: labels },
  }
  const text = new TextDecoder().decode(encodeConfig(config as never))
  expect(/"Labels":(\{.*?\})/.exec(text)![1]).toBe(
    '{"0":"","01":"","10":"a","2":"b","__proto__":"x","constructor":"y","\uffee":"","\u{1f600}":""}',
  )
  const annotations = { '10': 'a', '2': 'b', k: '<' }
  expect(goJson({ z: 1, a: [{ annotations }, null, []], n: undefined, e: {} })).toBe(
    '{"z":1,"a":[{"annotations":{"10":"a","2":"b","k":"\\u003c"}},null,[]],"e":{}}',
  )
  // Indented too, as JSON.stringify does where there is no such key.
  const plain = { z: [1, { a: [] }], y: { x: 'text "1": in it' }, b: {} }
  expect(goJson(plain, 2)).toBe(JSON.stringify(plain, undefined, 2))
  expect(goJson({ ...plain, m: { 9: 1, 10: 2 } }, 2)).toBe(
    JSON.stringify({ ...plain, m: { b: 1, a: 2 } }, undefined, 2)
      .replace('"b": 1', '"10": 2')
      .replace('"a": 2', '"9": 1'),
  )
})

test('fields that we do not know are kept, whatever their names', () => {
  const bytes = Buffer.from(
    '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:' +
      'a'.repeat(64) +
      '"]},"config":{"Cmd":["x"],"__proto__":{"polluted":true}}}',
  )
  const again = new TextDecoder().decode(encodeConfig(parseConfig(bytes)))
  expect(again).toContain('"__proto__":{"polluted":true}')
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})
