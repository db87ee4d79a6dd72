// Whose files a step makes: `user[:group]`, numbers or names that are looked up in the root's /etc/passwd and /etc/group.
// @see moby/buildkit client/llb/fileop.go WithUser, solver/llbsolver/file/user_linux.go readUser
import { BuildError } from '../../errors.js'
import type { Tree } from '../../unionfs/index.js'
import type { OwnerRef, OwnerSpec } from '../key.js'
import { rootPath } from './root-path.js'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export const ROOT_OWNER: Owner = { uid: 0, gid: 0 }

/** `root` is 0; what is no 32-bit number is a name; nothing at all is 0. */
function parsePart(text: string, input: number): OwnerRef {
  if (text === 'root' || text === '') return { id: 0 }
  const number = /^[+-]?\d+$/.test(text) ? Number(text) : NaN
  return number >= -0x8000_0000 && number <= 0x7fff_ffff ? { id: number >>> 0 } : { name: text, input }
}

/**
 * Reads `--chown` or USER.
 * @param input  the input whose account files names are looked up in; -1 on scratch
 */
export function parseOwner(text: string, input: number): OwnerSpec {
  const colon = text.indexOf(':')
  if (colon === -1) return { user: parsePart(text, input) }
  return { user: parsePart(text.slice(0, colon), input), group: parsePart(text.slice(colon + 1), input) }
}

/**
 * The numbers of an owner. A user without a group brings its own: the same number, or its primary group. A name that
 * is not found silently is 0, as in BuildKit.
 *
 * @param root  the tree that has the account files; `undefined` on scratch, where only numbers work
 * @throws BuildError USER_NOT_FOUND for a name on scratch
 */
export function resolveOwner(spec: OwnerSpec, root: Tree | undefined): Owner {
  const owner = { uid: 0, gid: 0 }
  if (spec.user !== undefined) {
    const fields = fieldsOf(spec.user, root, 'etc/passwd')
    if ('id' in spec.user) owner.uid = owner.gid = spec.user.id
    else if (fields !== undefined)
      Object.assign(owner, { uid: numberOf(fields[2]), gid: numberOf(fields[3]) })
  }
  if (spec.group !== undefined) {
    const fields = fieldsOf(spec.group, root, 'etc/group')
    if ('id' in spec.group) owner.gid = spec.group.id
    else if (fields !== undefined) owner.gid = numberOf(fields[2])
  }
  return owner
}

/** The line of an account file that begins with the name. */
function fieldsOf(part: OwnerRef, root: Tree | undefined, file: string): string[] | undefined {
  if ('id' in part) return undefined
  if (root === undefined) {
    throw new BuildError(
      'USER_NOT_FOUND',
      `invalid user index: -1 (${JSON.stringify(part.name)} cannot be looked up in an empty file system; use a number)`,
      { data: { name: part.name } },
    )
  }
  for (const line of readLines(root, file)) {
    const fields = line.trim().split(':')
    if (fields[0] === part.name) return fields
  }
  return undefined
}

function readLines(root: Tree, path: string): string[] {
  const node = root.lookup(rootPath(root, path))
  return node?.kind === 'file' ? new TextDecoder().decode(node.content()).split('\n') : []
}

function numberOf(text: string | undefined): number {
  return /^\d+$/.test(text ?? '') ? Number(text) : 0
}
