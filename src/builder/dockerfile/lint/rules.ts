// The build checks: names, what they are about, where they are documented, and their messages.
// @see moby/buildkit frontend/dockerfile/linter/ruleset.go
import { quote } from '../text.js'

interface Rule<Args extends readonly string[] = readonly string[]> {
  readonly description: string
  /** Empty where BuildKit has no page. */
  readonly url: string
  /** Off unless `# check=experimental=` names it. */
  readonly experimental: boolean
  readonly message: (...args: Args) => string
}

function rule<Args extends readonly string[]>(
  page: string,
  description: string,
  message: (...args: Args) => string,
  experimental = false,
): Rule<Args> {
  const url = page === '' ? '' : `https://docs.docker.com/go/dockerfile/rule/${page}/`
  return { description, url, experimental, message }
}

function didYouMean(name: string): string {
  return name === '' ? '' : ` (did you mean ${name}?)`
}

export const RULES = {
  StageNameCasing: rule(
    'stage-name-casing',
    'Stage names should be lowercase',
    (stage: string) => `Stage name '${stage}' should be lowercase`,
  ),
  FromAsCasing: rule(
    'from-as-casing',
    "The 'as' keyword should match the case of the 'from' keyword",
    (from: string, as: string) => `'${as}' and '${from}' keywords' casing do not match`,
  ),
  NoEmptyContinuation: rule(
    'no-empty-continuation',
    'Empty continuation lines will become errors in a future release',
    () => 'Empty continuation line',
  ),
  ConsistentInstructionCasing: rule(
    'consistent-instruction-casing',
    'All commands within the Dockerfile should use the same casing (either upper or lower)',
    (command: string, casing: string) =>
      `Command '${command}' should match the case of the command majority (${casing})`,
  ),
  DuplicateStageName: rule(
    'duplicate-stage-name',
    'Stage names should be unique',
    (stage: string) => `Duplicate stage name ${quote(stage)}, stage names should be unique`,
  ),
  ReservedStageName: rule(
    'reserved-stage-name',
    'Reserved words should not be used as stage names',
    (stage: string) => `Stage name should not use the same name as reserved stage ${quote(stage)}`,
  ),
  JSONArgsRecommended: rule(
    'json-args-recommended',
    'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
    (command: string) =>
      `JSON arguments recommended for ${command} to prevent unintended behavior related to OS signals`,
  ),
  MaintainerDeprecated: rule(
    'maintainer-deprecated',
    'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
    () => 'Maintainer instruction is deprecated in favor of using label',
  ),
  UndefinedArgInFrom: rule(
    'undefined-arg-in-from',
    'FROM command must use declared ARGs',
    (arg: string, near: string) => `FROM argument '${arg}' is not declared${didYouMean(near)}`,
  ),
  WorkdirRelativePath: rule(
    'workdir-relative-path',
    'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes',
    (path: string) => `Relative workdir ${quote(path)} can have unexpected results if the base image changes`,
  ),
  UndefinedVar: rule(
    'undefined-var',
    'Variables should be defined before their use',
    (name: string, near: string) =>
      `Usage of undefined variable '$${name}'${didYouMean(near === '' ? '' : `$${near}`)}`,
  ),
  MultipleInstructionsDisallowed: rule(
    'multiple-instructions-disallowed',
    'Multiple instructions of the same type should not be used in the same stage',
    (command: string) =>
      `Multiple ${command} instructions should not be used in the same stage because only the last one will be used`,
  ),
  LegacyKeyValueFormat: rule(
    'legacy-key-value-format',
    'Legacy key/value format with whitespace separator should not be used',
    (command: string) =>
      `"${command} key=value" should be used instead of legacy "${command} key value" format`,
  ),
  InvalidBaseImagePlatform: rule(
    '',
    'Base image platform does not match expected target platform',
    (image: string, expected: string, actual: string) =>
      `Base image ${image} was pulled with platform ${quote(actual)}, expected ${quote(expected)} for current build`,
  ),
  RedundantTargetPlatform: rule(
    'redundant-target-platform',
    'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
    (variable: string) =>
      `Setting platform to predefined ${variable} in FROM is redundant as this is the default behavior`,
  ),
  SecretsUsedInArgOrEnv: rule(
    'secrets-used-in-arg-or-env',
    'Sensitive data should not be used in the ARG or ENV commands',
    (command: string, key: string) =>
      `Do not use ARG or ENV instructions for sensitive data (${command} ${quote(key)})`,
  ),
  InvalidDefaultArgInFrom: rule(
    'invalid-default-arg-in-from',
    'Default value for global ARG results in an empty or invalid base image name',
    (image: string) => `Default value for ARG ${image} results in empty or invalid base image name`,
  ),
  FromPlatformFlagConstDisallowed: rule(
    'from-platform-flag-const-disallowed',
    'FROM --platform flag should not use a constant value',
    (platform: string) => `FROM --platform flag should not use constant value ${quote(platform)}`,
  ),
  CopyIgnoredFile: rule(
    'copy-ignored-file',
    'Attempting to Copy file that is excluded by .dockerignore',
    (command: string, file: string) =>
      `Attempting to ${command} file ${quote(file)} that is excluded by .dockerignore`,
  ),
  InvalidDefinitionDescription: rule(
    'invalid-definition-description',
    'Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.',
    (command: string, name: string) =>
      `Comment for ${command} should follow the format: \`# ${name} <description>\``,
    true,
  ),
  ExposeProtoCasing: rule(
    'expose-proto-casing',
    'Protocol in EXPOSE instruction should be lowercase',
    (port: string) => `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
  ),
  ExposeInvalidFormat: rule(
    'expose-invalid-format',
    'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
    (port: string) =>
      `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
  ),
} as const

export type RuleName = keyof typeof RULES
