// Neighbouring layers as one. Pure.
import { applyChangeset } from './apply.js'
import type { Changeset } from './changeset.js'
import { diffTrees } from './diff.js'
import type { Tree } from './tree.js'

/**
 * One changeset that does to `lower` what the given ones do after one another, base first. It holds only what is left of
 * them: what a later one overwrites or deletes is gone, and so is what ends up as it was.
 *
 * @throws LayerError as `applyChangeset`
 */
export function squashChangesets(lower: Tree, changesets: Iterable<Changeset>): Changeset {
  let upper = lower
  for (const changeset of changesets) upper = applyChangeset(upper, changeset)
  return diffTrees(lower, upper)
}
