// Settings: from the environment, with defaults; flags win.

export interface Config {
  readonly port: number
  readonly quiet: boolean
  readonly selfCheck: boolean
  /** Looked for in this order; a service without seed data starts empty. */
  readonly seedFile: readonly string[]
}

export function readConfig(env: Readonly<Record<string, string | undefined>>, args: readonly string[]): Config {
  const port = Number(env['PORT'] ?? 3000)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`PORT is not a port: ${env['PORT']}`)
  return {
    port,
    quiet: env['QUIET'] === '1',
    selfCheck: args.includes('--self-check'),
    seedFile: ['seed.json', 'prisma/seed.json'],
  }
}
