// Front door of the OCI room: images, their documents and their names.
export type { LayerCheck } from './check-layers.js'
export { loadArchive } from './archive-load.js'
export type { LoadedImage, LoadOptions } from './archive-load.js'
export { saveArchive, saveLayout } from './archive-save.js'
export { loadLayout } from './layout.js'
export type { ImageToSave, SaveOptions } from './archive-save.js'
export { childrenOf, copyImage, formatPlatform, readImage, resolveImage, writeImage } from './image.js'
export type { Image, ImageLayer, WriteImageOptions } from './image.js'
export { encodeIndex, exportImageFiles } from './image-export.js'
export type {
  ExportDocument,
  ExportImageOptions,
  ExportSettings,
  ExportedImage,
  ImageExport,
} from './image-export.js'
export { familiarName, fullRefName, parseReference, refNameOf } from './reference.js'
export type { Reference } from './reference.js'
export {
  CONTAINER_FIELDS,
  encodeConfig,
  encodeManifest,
  formatDocument,
  isIndexType,
  isManifestType,
  parseConfig,
  parseIndex,
  parseManifest,
} from './spec.js'
export type {
  ContainerConfig,
  HealthcheckConfig,
  HistoryEntry,
  ImageConfig,
  ImageIndex,
  ImageManifest,
} from './spec.js'
