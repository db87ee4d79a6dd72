// `node:stream/web` is the page's own.
export const { ReadableStream, TransformStream, WritableStream } = globalThis
