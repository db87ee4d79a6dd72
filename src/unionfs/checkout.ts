// checkoutTree without its weight: host-checkout.ts, and with it node:fs, is loaded when a tree is written out, so that
// the room also runs where there is no disk.
import type { CheckoutOptions, CheckoutResult } from './host-checkout.js'
import type { Tree } from './tree.js'

/** Writes a tree into an empty or absent host folder, and never outside it. See `CheckoutResult` for what is left out. */
export async function checkoutTree(
  tree: Tree,
  folder: string,
  options: CheckoutOptions = {},
): Promise<CheckoutResult> {
  const host = await import('./host-checkout.js')
  return host.checkoutTree(tree, folder, options)
}
