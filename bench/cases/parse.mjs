// How long does reading a Dockerfile take, and checking it? A file of 1,000 instructions of every kind, and a small one.
import { lintDockerfile, parseDockerfile } from 'lamella/builder'

export const group = 'parse'

const STAGE = `
# Stage N compiles part N.
FROM --platform=$BUILDPLATFORM node:\${NODE_VERSION} AS stage-N
ARG TARGETARCH MODE=production
ENV NODE_ENV=\${MODE} PATH="/opt/part-N/bin:$PATH" \\
    LANG=C.UTF-8
LABEL org.opencontainers.image.title="part N" org.opencontainers.image.version=1.N
WORKDIR /src/part-N
COPY --link --chown=1000:1000 package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm,sharing=locked --network=default \\
    npm ci --omit=dev \\
    && npm cache verify
COPY --exclude=*.md --exclude=**/test . .
RUN <<EOF
set -e
npm run build -- --arch=$TARGETARCH
npm prune
EOF
COPY <<-"CONFIG" /etc/part-N.conf
	listen = 80
	CONFIG
ADD ["data.json", "/data/"]
EXPOSE 8080/tcp 8443
VOLUME ["/data"]
USER node
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=30s --timeout=3s --retries=2 CMD curl -f http://localhost:8080/
STOPSIGNAL SIGTERM
ONBUILD COPY . /app
ENTRYPOINT ["node", "server.js"]
CMD ["--port", "8080"]
`
const STAGE_INSTRUCTIONS = 20

/** A file of `stages` stages behind one ARG. */
function dockerfile(stages) {
  const numbered = Array.from({ length: stages }, (_, i) => STAGE.replace(/\bN\b/g, String(i)))
  return `# syntax=docker/dockerfile:1\nARG NODE_VERSION=20\n${numbered.join('')}`
}

/** Throws when a file is not read as it was written. */
function checkReading(text, stages) {
  const read = parseDockerfile(text)
  const counts = read.stages.map(({ instructions }) => 1 + instructions.length)
  const scripts = read.stages.flatMap(({ instructions }) => instructions.flatMap(({ heredocs }) => heredocs))
  const right = counts.length === stages && counts.every((count) => count === STAGE_INSTRUCTIONS)
  if (!right || scripts.length !== 2 * stages) throw new Error(`read otherwise than written: ${counts}`)
}

/** Nanoseconds of each call, sorted; the first calls, unmeasured, warm up. */
function time(run, rounds) {
  const times = []
  for (let round = -20; round < rounds; round++) {
    const start = process.hrtime.bigint()
    run()
    const ns = Number(process.hrtime.bigint() - start)
    if (round >= 0) times.push(ns)
  }
  return times.toSorted((a, b) => a - b)
}

function row(name, question, run, rounds) {
  const times = time(run, rounds)
  const at = (q) => times[Math.min(rounds - 1, Math.floor(rounds * q))]
  return { name, question, n: rounds, p50Ns: at(0.5), p99Ns: at(0.99), check: true }
}

export async function* run({ quick }) {
  const rounds = quick ? 50 : 500
  const [large, small] = [dockerfile(50), dockerfile(1)]
  checkReading(large, 50)
  checkReading(small, 1)
  const { error, warnings } = lintDockerfile(large)
  if (error !== undefined) throw new Error(error.message)

  const parsed = row(
    'parse 1,001',
    'text to typed instructions, 50 stages',
    () => parseDockerfile(large),
    rounds,
  )
  yield { ...parsed, baseline: '5 ms', ratio: parsed.p50Ns / 5e6, target: '<= 1' }
  yield row('parse 21', 'the same, one stage', () => parseDockerfile(small), rounds)
  const checks = `all build checks, ${warnings.length} warnings`
  yield row('check 1,001', checks, () => lintDockerfile(large), rounds)
}
