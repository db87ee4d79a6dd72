// node:fs on a kernel overlay of a given depth, for bench/cases/unionfs.mjs, which starts it in a mount namespace of its
// own: everything mounted here ends with the process. Prints rows as JSON.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'

const [work, depthText, countText, samplesText] = process.argv.slice(2)
const [depth, count, samples] = [depthText, countText, samplesText].map(Number)
const PER_DIRECTORY = 100
const SIZE = 2048

function mount(...args) {
  const { status, stderr } = spawnSync('mount', args, { cwd: join(work, 'fs'), encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

fs.mkdirSync(join(work, 'fs'))
spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', join(work, 'fs')])
process.chdir(join(work, 'fs'))
for (const name of ['0', 'upper', 'work', 'merged']) fs.mkdirSync(name)
const content = Buffer.alloc(SIZE, 'x')
for (let d = 0; d < count / PER_DIRECTORY; d++) {
  fs.mkdirSync(`0/dir-${d}`)
  for (let i = 0; i < PER_DIRECTORY; i++) fs.writeFileSync(`0/dir-${d}/file-${i}.txt`, content)
}
for (let layer = 1; layer < depth; layer++) {
  fs.mkdirSync(`${layer}/layer-${layer}`, { recursive: true })
  for (let i = 0; i < 20; i++) fs.writeFileSync(`${layer}/layer-${layer}/file-${i}.txt`, content)
}
const lowers = Array.from({ length: depth }, (_, i) => depth - 1 - i).join(':')
mount('-t', 'overlay', '-o', `lowerdir=${lowers},upperdir=upper,workdir=work`, 'overlay', 'merged')

const paths = Array.from({ length: 4096 }, (_, i) => {
  const at = (i * 7919) % count
  return `merged/dir-${Math.floor(at / PER_DIRECTORY)}/file-${at % PER_DIRECTORY}.txt`
})
const directories = Array.from({ length: 64 }, (_, i) => `merged/dir-${i % (count / PER_DIRECTORY)}`)
const misses = directories.map((directory) => `${directory}/missing`)
const pathOf = (i) => paths[i % 4096]
const calls = {
  stat: [50, (i) => fs.statSync(pathOf(i)).size === SIZE],
  exists: [50, (i) => fs.existsSync(pathOf(i))],
  miss: [50, (i) => !fs.existsSync(misses[i % 64])],
  'readFile 2 KB': [50, (i) => fs.readFileSync(pathOf(i)).length === SIZE],
  'readdir 100': [10, (i) => fs.readdirSync(directories[i % 64]).length === PER_DIRECTORY],
}

const rows = Object.entries(calls).map(([call, [batch, run]]) => {
  let check = true
  for (let i = 0; i < batch * 20; i++) check &&= run(i)
  const times = []
  for (let s = 0, i = 0; s < samples; s++) {
    const start = process.hrtime.bigint()
    for (let b = 0; b < batch; b++) run(i++)
    times.push(Number(process.hrtime.bigint() - start) / batch)
  }
  times.sort((a, b) => a - b)
  const at = (p) => times[Math.min(times.length - 1, Math.floor(times.length * p))]
  return {
    name: `${call}: kernel overlay, depth ${depth}`,
    call,
    n: samples * batch,
    p50Ns: at(0.5),
    p99Ns: at(0.99),
    check,
  }
})
console.log(JSON.stringify(rows))
