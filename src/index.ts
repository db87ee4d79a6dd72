// Front door of the library.
export { systemEnv } from './env.js'
