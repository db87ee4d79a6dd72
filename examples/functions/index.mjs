// The RUN lines of examples/node-app as functions over a view's file system: what npm, esbuild and prisma would do in a
// container, done in process by the same libraries. Imports lamella's public exports only.
import { npmInstall } from './npm-install.mjs'
import { npmRun } from './npm-run.mjs'
import { prisma } from './prisma.mjs'

/** Rules for `functionsExecutor`. */
export const nodeFunctions = [
  { match: 'npm install', run: npmInstall },
  { match: /^npm run (?<script>[\w:-]+)$/, run: npmRun },
  {
    match: /^npx prisma (?<command>\w+)$/,
    run: (context) => prisma(context, [context.match.groups.command]),
  },
]
