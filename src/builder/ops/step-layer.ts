// What a step changed as a layer. Apart from result.ts, because only a step that runs needs it.
import { layerChanges, type Changeset, type Tree } from '../../unionfs/index.js'

export { commitChanges } from '../../unionfs/index.js'

/**
 * What a step's layer holds: times in whole seconds, the directories above a change, nothing of the root directory itself,
 * as containerd's differs write it.
 */
export function stepChanges(lower: Tree, upper: Tree): Changeset {
  return layerChanges(lower, upper, { form: 'containerd' })
}
