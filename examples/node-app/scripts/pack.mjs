// Packs packages/* into package-<name>.tgz, as `npm pack` does (which writes fixed times, so equal sources give equal
// bytes), and brings package-lock.json up to date. Run it after a change to one of the packages: node scripts/pack.mjs
import { execFileSync } from 'node:child_process'
import { renameSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
for (const name of readdirSync(join(root, 'packages'))) {
  const out = execFileSync('npm', ['pack', '--json', join(root, 'packages', name)], { cwd: root, encoding: 'utf8' })
  renameSync(join(root, JSON.parse(out)[0].filename), join(root, `package-${name}.tgz`))
}
rmSync(join(root, 'package-lock.json'), { force: true })
execFileSync('npm', ['install', '--package-lock-only', '--offline', '--no-audit'], { cwd: root, stdio: 'inherit' })
