import { homedir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { keepCompiledCode } from '../../src/cli/compile-cache.js'

function folderFor(env: NodeJS.ProcessEnv): string | undefined {
  let seen: string | undefined
  keepCompiledCode(env, (folder) => (seen = folder))
  return seen
}

// XDG Base Directory Specification § Environment variables: relative paths are invalid and ignored.
describe('where compiled code is kept', () => {
  test.each([
    {
      name: 'the cache folder that is named',
      chosen: '/var/cache/me',
      want: '/var/cache/me/lamella/compiled',
    },
    { name: 'a relative one is none', chosen: 'cache', want: join(homedir(), '.cache/lamella/compiled') },
    { name: 'an empty one is none', chosen: '', want: join(homedir(), '.cache/lamella/compiled') },
    { name: 'none', chosen: undefined, want: join(homedir(), '.cache/lamella/compiled') },
  ])('$name', ({ chosen, want }) => {
    expect(folderFor(chosen === undefined ? {} : { XDG_CACHE_HOME: chosen })).toBe(want)
  })
})
