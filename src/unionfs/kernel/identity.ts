// Who acts on a view, and what Linux lets them do (discretionary access control; fs/namei.c, fs/attr.c). Pure.
import type { AnyNode } from './upper.js'

export interface Identity {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups. */
  readonly groups: readonly number[]
}

export const ROOT: Identity = { uid: 0, gid: 0, groups: [] }

export const MAY_EXEC = 1
export const MAY_WRITE = 2
export const MAY_READ = 4

export const S_ISUID = 0o4000
export const S_ISGID = 0o2000
export const S_ISVTX = 0o1000

export function isInGroup(who: Identity, gid: number): boolean {
  return who.gid === gid || who.groups.includes(gid)
}

/** Whether all of `want` is granted. Root lacks only the right to execute what nobody may execute. */
export function isPermitted(who: Identity, node: AnyNode, want: number): boolean {
  if (who.uid === 0) {
    return (want & MAY_EXEC) === 0 || node.kind === 'dir' || (node.mode & 0o111) !== 0
  }
  // The first class that matches decides, even where a later one would grant more.
  const shift = who.uid === node.uid ? 6 : isInGroup(who, node.gid) ? 3 : 0
  return ((node.mode >> shift) & want) === want
}

export function isOwner(who: Identity, node: AnyNode): boolean {
  return who.uid === 0 || who.uid === node.uid
}

/** Whether a sticky directory keeps `who` from removing or renaming an entry of another's. */
export function isStickyFor(who: Identity, parent: AnyNode, victim: AnyNode): boolean {
  return (parent.mode & S_ISVTX) !== 0 && who.uid !== 0 && who.uid !== victim.uid && who.uid !== parent.uid
}

/** Mode of a file after a change by someone who may not keep set-id bits (file_remove_privs). */
export function modeAfterWrite(who: Identity, mode: number, gid: number): number {
  return who.uid === 0 ? mode : modeWithoutSetId(mode, isInGroup(who, gid))
}

/** Mode of a non-directory after chown: set-user-ID goes always, set-group-ID where it means that (chown(2)). */
export function modeAfterChown(who: Identity, mode: number, gid: number): number {
  return modeWithoutSetId(mode, who.uid === 0 || isInGroup(who, gid))
}

function modeWithoutSetId(mode: number, keepsLockBit: boolean): number {
  let out = mode & ~S_ISUID
  if ((mode & S_ISGID) !== 0 && ((mode & 0o010) !== 0 || !keepsLockBit)) out &= ~S_ISGID
  return out
}
