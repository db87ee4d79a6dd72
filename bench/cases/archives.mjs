// How fast do images come in and go out as archives, and in how much memory? Whole processes by turns: the `lamella`
// command and `skopeo copy` of the same archive, both leaving layers uncompressed.
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createWriteStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { createMemoryStore, commitLayer } from 'lamella/store'
import { saveArchive, writeImage } from 'lamella/oci'
import { bytesSource, diffTrees, EMPTY_TREE, encodeLayer, TreeEditor, TreeNode } from 'lamella/unionfs'

export const group = 'archives'

const bin = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')

/** A quarter noise, the rest letters: gzip makes a third of it. */
function compressible(length) {
  const out = randomBytes(length)
  for (let i = length >> 2; i < length; i++) out[i] = 97 + ((i * 7 + (out[i >> 3] & 3)) % 26)
  return out
}

/** An archive of `megabytes` in four layers of 1 MB files. */
async function makeArchive(file, megabytes, options, makeBytes) {
  const store = createMemoryStore()
  const layers = []
  for (let i = 0; i < 4; i++) {
    const editor = new TreeEditor(EMPTY_TREE)
    for (let j = 0; j < megabytes / 4; j++) {
      const bytes = makeBytes(1 << 20)
      const node = new TreeNode({ kind: 'file', size: bytes.byteLength, source: bytesSource(bytes) })
      editor.put(`layer${i}-file${j}`, node)
    }
    layers.push(await commitLayer(store, encodeLayer(diffTrees(EMPTY_TREE, editor.finish()))))
  }
  const config = {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffID }) => diffID) },
  }
  const image = await writeImage(store.blobs, { config, layers })
  const images = [{ descriptor: image.descriptor, names: ['big:1'] }]
  await pipeline(Readable.from(saveArchive(store, images, options)), createWriteStream(file))
  return layers.map(({ diffID }) => diffID)
}

/** Seconds and peak memory as the system accounts them; `time` is GNU time where it is there. */
function measure(command, args) {
  const hasTime = existsSync('/usr/bin/time')
  const start = process.hrtime.bigint()
  const { status, stderr } = hasTime
    ? spawnSync('/usr/bin/time', ['-f', 'maxrss=%M', command, ...args], { encoding: 'utf8' })
    : spawnSync(command, args, { encoding: 'utf8' })
  const ns = Number(process.hrtime.bigint() - start)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
  const peak = /maxrss=(\d+)/.exec(stderr)
  return { ns, peakBytes: peak === null ? undefined : Number(peak[1]) * 1024 }
}

/** After the disk has what was written before: nobody pays for another's pages. */
function settled(command, args) {
  spawnSync('sync')
  return measure(command, args)
}

function checkLoaded(store, diffIDs) {
  const shown = spawnSync(process.execPath, [bin, 'inspect', '--store', store, 'big:1'], { encoding: 'utf8' })
  const [{ layers }] = JSON.parse(shown.stdout)
  if (layers.some(({ diffID }, at) => diffID !== diffIDs[at]))
    throw new Error('what was loaded is something else')
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}

export async function* run({ quick }) {
  const scratch = mkdtempSync(join(tmpdir(), 'lamella-bench-archives-'))
  try {
    const megabytes = quick ? 100 : 500
    const archive = join(scratch, 'big.tar')
    const diffIDs = await makeArchive(archive, megabytes, { format: 'docker-archive' }, randomBytes)
    const rounds = quick ? 2 : 5
    const hasSkopeo = spawnSync('skopeo', ['--version']).status === 0
    const times = { load: [], save: [], 'skopeo in': [], 'skopeo out': [], sha256: [] }
    const peaks = { load: 0, save: 0 }
    const note = (name, { ns, peakBytes = 0 }) => {
      times[name].push(ns)
      if (name in peaks) peaks[name] = Math.max(peaks[name], peakBytes)
    }
    for (let i = 0; i < rounds; i++) {
      const store = join(scratch, `store${i}`)
      const layout = join(scratch, `layout${i}`)
      const ours = () => {
        note('load', settled(process.execPath, [bin, 'load', '-i', archive, '--store', store]))
        const out = join(scratch, 'out.tar')
        note('save', settled(process.execPath, [bin, 'save', '--store', store, '-o', out, 'big:1']))
        checkLoaded(store, diffIDs)
      }
      const theirs = () => {
        const policy = ['--insecure-policy', 'copy']
        const into = [...policy, '--dest-oci-accept-uncompressed-layers', `docker-archive:${archive}`]
        note('skopeo in', settled('skopeo', [...into, `oci:${layout}:big:1`]))
        const out = join(scratch, 'skopeo.tar')
        note(
          'skopeo out',
          settled('skopeo', [...policy, `oci:${layout}:big:1`, `docker-archive:${out}:big:1`]),
        )
        rmSync(out)
      }
      // By turns in either order: what one leaves in the system's caches is there for the other as often.
      for (const side of i % 2 === 0 ? [ours, theirs] : [theirs, ours]) {
        if (side === ours || hasSkopeo) side()
      }
      const start = process.hrtime.bigint()
      const block = Buffer.alloc(1 << 20)
      const hash = createHash('sha256')
      for (let at = 0; at < statSync(archive).size; at += block.byteLength) hash.update(block)
      hash.digest()
      note('sha256', { ns: Number(process.hrtime.bigint() - start) })
      for (const path of [store, layout, join(scratch, 'out.tar')])
        rmSync(path, { recursive: true, force: true })
    }
    const row = (name, key, extra = {}) => ({
      name: `${name}, ${megabytes} MB`,
      question: 'how long does the whole process take?',
      n: times[key].length,
      p50Ns: median(times[key]),
      p99Ns: Math.max(...times[key]),
      bytes: megabytes << 20,
      check: true,
      ...extra,
    })
    yield row('sha256 of as many bytes', 'sha256')
    if (hasSkopeo) {
      yield row('skopeo copy docker-archive → oci', 'skopeo in')
      yield row('skopeo copy oci → docker-archive', 'skopeo out')
    }
    const against = (key) =>
      hasSkopeo
        ? {
            baseline: 'skopeo copy',
            ratio:
              median(times[key === 'load' ? 'load' : 'save']) /
              median(times[key === 'load' ? 'skopeo in' : 'skopeo out']),
            target: '<= 1',
          }
        : {}
    yield row('lamella load', 'load', against('load'))
    yield row('lamella save', 'save', against('save'))
    for (const key of ['load', 'save']) {
      if (peaks[key] === 0) continue
      const bound = 200e6
      yield {
        name: `lamella ${key}, peak memory of 200 MB`,
        question: 'how much memory does it take at most?',
        n: rounds,
        bytes: peaks[key],
        baseline: `${Math.round(peaks[key] / 1e6)} MB`,
        ratio: peaks[key] / bound,
        target: '<= 1',
        check: true,
      }
    }
    yield* compressed(scratch, quick)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Loads of compressed layers: hashed as they come, unpacked, hashed again. Against unpacking and hashing alone. */
async function* compressed(scratch, quick) {
  const megabytes = quick ? 40 : 200
  const rounds = quick ? 1 : 3
  for (const [compression, unpack] of [
    ['gzip', 'gzip -dc'],
    ['zstd', 'zstd -dc'],
  ]) {
    if (spawnSync('sh', ['-c', `${unpack.split(' ')[0]} --version`]).status !== 0) continue
    const archive = join(scratch, `${compression}.tar`)
    const options = { format: 'oci-archive', compression }
    const diffIDs = await makeArchive(archive, megabytes, options, compressible)
    // All layers one behind the other are one compressed stream.
    const layers = join(scratch, 'layers')
    const members = String(spawnSync('tar', ['tf', archive]).stdout).match(/^blobs\/sha256\/\w+$/gm)
    const large = members.map(
      (name) => `tar xOf ${archive} ${name} | ${unpack} >/dev/null 2>&1 && tar xOf ${archive} ${name}`,
    )
    spawnSync('sh', ['-c', `(${large.join('; ')}) > ${layers}`])
    const times = { load: [], floor: [] }
    let peak = 0
    for (let i = 0; i < rounds; i++) {
      const store = join(scratch, `${compression}${i}`)
      const load = measure(process.execPath, [bin, 'load', '-i', archive, '--store', store])
      times.load.push(load.ns)
      peak = Math.max(peak, load.peakBytes ?? 0)
      times.floor.push(measure('sh', ['-c', `${unpack} ${layers} | sha256sum`]).ns)
      const shown = spawnSync(process.execPath, [bin, 'inspect', '--store', store, 'big:1'], {
        encoding: 'utf8',
      })
      const [{ layers: loaded }] = JSON.parse(shown.stdout)
      if (loaded.some(({ diffID }, at) => diffID !== diffIDs[at]))
        throw new Error('something else was loaded')
      rmSync(store, { recursive: true, force: true })
    }
    const common = { n: rounds, p50Ns: median(times.load), p99Ns: Math.max(...times.load), check: true }
    yield {
      ...common,
      name: `lamella load, ${compression}, ${megabytes} MB unpacked`,
      question: 'load of layers that are compressed, the whole process',
      bytes: megabytes << 20,
      baseline: `${unpack} | sha256sum`,
      ratio: median(times.load) / median(times.floor),
    }
    if (peak > 0) {
      yield {
        ...common,
        name: `lamella load, ${compression}, peak memory of 200 MB`,
        question: 'how much memory does it take at most?',
        bytes: peak,
        baseline: `${Math.round(peak / 1e6)} MB`,
        ratio: peak / 200e6,
        target: '<= 1',
      }
    }
    rmSync(archive)
  }
}
