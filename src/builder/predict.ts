// What a build would do, without doing it.
import { checkNames, prepareBuild, type BuildOptions } from './build.js'
import { solve, type StepReport } from './solve.js'

/**
 * Predicts hit or miss for every step of a build. Reads the context as the build would, runs no instruction and writes
 * nothing. A step is `unknown` only where the content of something that would have to run first decides.
 *
 * @throws as `build`, for what can be found out without running
 */
export async function predictBuild(options: BuildOptions): Promise<readonly StepReport[]> {
  checkNames(options)
  const { plan, solve: solveOptions } = await prepareBuild(options)
  const { steps } = await solve(plan.edge === undefined ? [] : [plan.edge], { ...solveOptions, dryRun: true })
  return steps
}
