// What memfs asks of `node:url`, in a page.
export const URL = globalThis.URL
export const fileURLToPath = (url) => decodeURIComponent(new URL(url).pathname)
export const pathToFileURL = (path) => new URL(`file://${path}`)
