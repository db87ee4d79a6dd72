// Path patterns: `/parcels/:code/events`. A segment that begins with `:` takes any one segment.

export function compilePattern(pattern) {
  const parts = pattern.split('/').filter(Boolean)
  return (path) => {
    const given = path.split('/').filter(Boolean)
    if (given.length !== parts.length) return undefined
    const params = {}
    for (const [index, part] of parts.entries()) {
      const value = given[index]
      if (part.startsWith(':')) params[part.slice(1)] = decodeURIComponent(value)
      else if (part !== value) return undefined
    }
    return params
  }
}
