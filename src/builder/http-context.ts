// Build contexts behind an http(s) URL: an archive, which is unpacked, or a Dockerfile alone. Effect: the network.
// @see moby/buildkit frontend/dockerui/context.go DetectHTTPContext, initContext
import { systemEnv } from '../env.js'
import { EMPTY_TREE, splitTime, TreeEditor } from '../unionfs/index.js'
import { treeContext, type BuildContext } from './context.js'
import type { GitContextOptions } from './git-context.js'
import { redactUrl } from './git-url.js'
import { EditedTree } from './ops/copy.js'
import { HttpOp } from './ops/http.js'
import { unpackArchive } from './ops/unpack.js'

/** What BuildKit calls the file that it fetches. Where that is the Dockerfile, it is also what COPY finds. */
const FILE = 'context'

/**
 * Fetches a context. What was fetched stays in the store with its ETag, and the server is asked again each time. Owners and
 * times are the archive's. No ignore file counts for it, as in BuildKit.
 *
 * @throws BuildError FETCH_FAILED; LayerError for a damaged archive; AbortError
 */
export async function fetchContext(url: string, options: GitContextOptions): Promise<BuildContext> {
  const { store, env = systemEnv, hold, signal, fetch = globalThis.fetch } = options
  const definition = { url, filename: FILE, checksum: undefined, location: undefined }
  const op = new HttpOp(definition, { store, env, hold, fetch })
  const [result] = await op.run([], { signal, onOutput: () => {}, onStatus: () => {} })
  const fetched = await result!.tree()
  const editor = new EditedTree(new TreeEditor(EMPTY_TREE), splitTime(env.now()))
  const isArchive = await unpackArchive(fetched, FILE, editor, '/', { owner: undefined, time: undefined })
  const context = treeContext(isArchive ? editor.finish() : fetched, redactUrl(url))
  return { ...context, isRemote: true, ...(isArchive ? {} : { dockerfile: FILE }) }
}
