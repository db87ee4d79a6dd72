// --memory, --pids-limit and --cpus as values.
import { expect, test } from 'vitest'
import type { Arguments } from '../../src/cli/command.js'
import { limits } from '../../src/cli/limits.js'

const given = (options: Readonly<Record<string, string>>): Arguments =>
  ({ string: (name: string) => options[name] }) as Partial<Arguments> as Arguments

// docker/go-units size_test.go; docker run reference, "Runtime constraints on resources"
test.each([
  [{}, undefined],
  [{ memory: '32' }, { memoryBytes: 32 }],
  [{ memory: '32b' }, { memoryBytes: 32 }],
  [{ memory: '32k' }, { memoryBytes: 32 * 1024 }],
  [{ memory: '32Kb' }, { memoryBytes: 32 * 1024 }],
  [{ memory: '512m' }, { memoryBytes: 512 << 20 }],
  [{ memory: '512MiB' }, { memoryBytes: 512 << 20 }],
  [{ memory: '1.5g' }, { memoryBytes: 1.5 * 2 ** 30 }],
  [{ memory: '2 G' }, { memoryBytes: 2 ** 31 }],
  [{ memory: '0' }, undefined],
  [{ 'pids-limit': '100' }, { pids: 100 }],
  [{ 'pids-limit': '-1' }, undefined],
  [{ 'pids-limit': '0', cpus: '0' }, undefined],
  [{ cpus: '.5' }, { cpus: 0.5 }],
  [
    { cpus: '2', memory: '6m' },
    { cpus: 2, memoryBytes: 6 << 20 },
  ],
] as const)('%j', (options, expected) => expect(limits(given(options))).toEqual(expected))

test.each([
  ['memory', '5x'],
  ['memory', '-5m'],
  ['memory', ''],
  ['memory', '1.m'],
  ['pids-limit', 'many'],
  ['pids-limit', '1.5'],
  ['cpus', '1,5'],
  ['cpus', '-1'],
])('--%s %j is refused', (name, text) => {
  expect(() => limits(given({ [name]: text }))).toThrow(new RegExp(`^--${name} ${text}: expected`))
})
