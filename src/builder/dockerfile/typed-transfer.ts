// ADD and COPY: flags, sources, here-documents as sources, destination.
// @see moby/buildkit frontend/dockerfile/instructions/parse.go
import type { AddInstruction, CopyInstruction, InlineSource } from './ast.js'
import { chompHeredoc, isHeredocStart } from './heredoc.js'
import type { InstructionReader } from './instruction-reader.js'

export function readCopy(reader: InstructionReader): CopyInstruction {
  needDestination(reader)
  const flags = reader.flags({
    chown: 'string',
    chmod: 'string',
    from: 'string',
    link: 'boolean',
    parents: 'boolean',
    exclude: 'strings',
  })
  const { sources, inline, dest } = readTransfer(reader)
  return Object.assign(reader.base('copy'), {
    sources,
    inline,
    dest,
    from: flags.string('from'),
    chown: flags.string('chown'),
    chmod: flags.string('chmod'),
    link: flags.boolean('link') ?? false,
    parents: flags.boolean('parents') ?? false,
    exclude: flags.strings('exclude'),
  })
}

export function readAdd(reader: InstructionReader): AddInstruction {
  needDestination(reader)
  const flags = reader.flags({
    chown: 'string',
    chmod: 'string',
    link: 'boolean',
    'keep-git-dir': 'boolean',
    checksum: 'string',
    unpack: 'boolean',
    exclude: 'strings',
  })
  const { sources, inline, dest } = readTransfer(reader)
  return Object.assign(reader.base('add'), {
    sources,
    inline,
    dest,
    chown: flags.string('chown'),
    chmod: flags.string('chmod'),
    link: flags.boolean('link') ?? false,
    exclude: flags.strings('exclude'),
    checksum: flags.string('checksum'),
    keepGitDir: flags.boolean('keep-git-dir'),
    unpack: flags.boolean('unpack'),
  })
}

function needDestination(reader: InstructionReader): void {
  if (reader.node.args.length >= 2) return
  const reason = 'but only one was provided. Destination could not be determined'
  throw reader.error(`${reader.name()} requires at least two arguments, ${reason}`)
}

function readTransfer(reader: InstructionReader) {
  const { args, heredocs } = reader.node
  const dest = args.at(-1)!
  if (isHeredocStart(dest) !== undefined) {
    throw reader.error(`${reader.name()} cannot accept a heredoc as a destination`)
  }
  const sources: string[] = []
  const inline: InlineSource[] = []
  for (const word of args.slice(0, -1)) {
    const start = isHeredocStart(word)
    if (start === undefined) {
      sources.push(word)
      continue
    }
    // Of several with one name the last body counts; in JSON form there is none.
    const content = heredocs.findLast((heredoc) => heredoc.name === start.name)?.content ?? ''
    inline.push({
      name: start.name,
      content: start.chomp ? chompHeredoc(content) : content,
      expand: start.expand,
    })
  }
  return { sources, inline, dest }
}
