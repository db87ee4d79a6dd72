// Front door of the unionfs room.
export { TreeNode, bytesSource, nextIno, splitTime } from './node.js'
export type { ContentSource, Meta, NodeInit, NodeKind, Origin, Xattrs } from './node.js'
export type { Children } from './children.js'
export type { Change, ChangeSummary, Changeset } from './changeset.js'
