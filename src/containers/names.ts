// Ids and names of containers and volumes. Pure.
import type { Env } from '../env.js'
import { ContainerError } from '../errors.js'

/** As docker's. @see moby/moby daemon/names */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}$/

/** @throws ContainerError CONTAINER_NAME_INVALID */
export function checkContainerName(name: string): string {
  if (NAME.test(name)) return name
  throw new ContainerError(
    'CONTAINER_NAME_INVALID',
    `container name ${JSON.stringify(name)}: expected 2 to 128 of [a-zA-Z0-9_.-], the first a letter or digit`,
    { data: { name } },
  )
}

/** @throws ContainerError VOLUME_NAME_INVALID */
export function checkVolumeName(name: string): string {
  if (NAME.test(name)) return name
  throw new ContainerError(
    'VOLUME_NAME_INVALID',
    `volume name ${JSON.stringify(name)}: expected 2 to 128 of [a-zA-Z0-9_.-], the first a letter or digit; a host folder begins with /`,
    { data: { name } },
  )
}

/** 64 hex digits. */
export function randomName(env: Env): string {
  return Array.from({ length: 4 }, () => env.randomId().padStart(16, '0').slice(-16)).join('')
}

const ADJECTIVES =
  'amber brisk calm deft early fair gentle humble ivory jolly keen lucid mellow nimble olive plain quiet rapid silent tidy urban vivid warm young'.split(
    ' ',
  )
const NOUNS =
  'anchor basalt cedar delta ember fjord garnet harbor island jasper kelp lagoon marble nectar opal prairie quartz reef slate tundra umber valley willow zephyr'.split(
    ' ',
  )

/** `calm_quartz`, as long as one is free; then with a part of the id. */
export function suggestName(id: string, isTaken: (name: string) => boolean): string {
  const count = ADJECTIVES.length * NOUNS.length
  const start = Number.parseInt(id.slice(0, 8), 16) % count
  for (let i = 0; i < 8; i++) {
    const at = (start + i * 131) % count
    const name = `${ADJECTIVES[at % ADJECTIVES.length]!}_${NOUNS[Math.floor(at / ADJECTIVES.length)]!}`
    if (!isTaken(name)) return name
  }
  return `container_${id.slice(0, 12)}`
}
