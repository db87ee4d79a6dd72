import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { runs } from './test/chance.js'

const src = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

// Tests run over the sources; only the CLI tests start the built bin, which `npm test` makes first.
export default defineConfig({
  resolve: {
    alias: [
      { find: '#platform', replacement: src('platform/node.ts') },
      { find: '#unionfs-host', replacement: src('unionfs/host-node.ts') },
      { find: /^lamella$/, replacement: src('index.ts') },
      { find: /^lamella\/(.+)$/, replacement: src('$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/setup.ts'],
    // There to end what hangs: no test may depend on the speed or the load of the machine.
    testTimeout: runs(300_000),
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 2,
  },
})
