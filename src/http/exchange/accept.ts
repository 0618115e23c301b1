/** The header `Accept`, as far as we hear it: which media types, in which order. */

/** The media types of an `Accept` header in its own order; those refused by `q=0` are left out. */
export function acceptedTypes(accept: string): string[] {
  const types: string[] = []
  for (const part of accept.split(',')) {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase())
    if (type !== '' && !parameters.some((piece) => /^q=0(\.0*)?$/.test(piece))) types.push(type)
  }
  return types
}
