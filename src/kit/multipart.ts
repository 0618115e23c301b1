/** Cuts a multipart body (RFC 2046 §5.1) into its parts. Nothing is copied: a part is a byte range. */

export interface Part {
  /** The part's own `Content-Type`, as it was sent. */
  readonly contentType: string | undefined
  readonly start: number
  readonly end: number
}

/**
 * Why a body is not what its boundary says, and at which byte. `begin`: no delimiter at all. `end`:
 * cut off before the closing one. `head`: a part's header block does not end in time.
 */
export interface MultipartFault {
  readonly fault: 'begin' | 'end' | 'head' | 'count'
  readonly at: number
}

/** Header block of one part, bytes: as much as a request may have. */
const headBytesMax = 16 * 1024

const lineFeed = 0x0a
const carriageReturn = 0x0d
const dash = 0x2d

/** The `boundary` of a multipart content type; undefined when it names none. */
export function boundaryOf(contentType: string): string | undefined {
  const found = /;\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i.exec(contentType)
  const boundary = found?.[1]?.replaceAll(/\\(.)/g, '$1') ?? found?.[2]
  return boundary === '' ? undefined : boundary
}

/**
 * The parts between the delimiters; what stands before the first and behind the closing one is no
 * part. Lines end as the first delimiter's does, CRLF as it should be or LF, so that the bytes of a
 * part are known to the last one. A line that only begins like a delimiter belongs to its part.
 */
export function splitMultipart(
  body: Buffer,
  boundary: string,
  partsMax: number,
): Part[] | MultipartFault {
  const mark = Buffer.from(`--${boundary}`, 'latin1')
  let lineEnd: LineEnd | undefined
  let open: { readonly contentType: string | undefined; readonly start: number } | undefined
  const parts: Part[] = []
  for (let at = body.indexOf(mark); at >= 0; at = body.indexOf(mark, at + 1)) {
    const delimiter = delimiterAt(body, at, mark.length, lineEnd)
    if (delimiter === undefined) continue
    if (open !== undefined) {
      // The line end before a delimiter is the delimiter's; of an empty part it may end the head too.
      const end = Math.max(open.start, at - lineEnd!.length)
      if (parts.length === partsMax) return { fault: 'count', at: open.start }
      parts.push({ ...open, end })
    }
    if (delimiter.closes) return parts
    lineEnd ??= delimiter.lineEnd
    const head = readHead(body, delimiter.next, lineEnd)
    if (head === undefined) return { fault: 'head', at: delimiter.next }
    open = head
    at = head.start - 1
  }
  return open === undefined ? { fault: 'begin', at: 0 } : { fault: 'end', at: body.length }
}

type LineEnd = '\r\n' | '\n'

interface Delimiter {
  readonly closes: boolean
  readonly lineEnd: LineEnd
  /** Where the next line begins. */
  readonly next: number
}

/** The delimiter whose mark stands at `at`; undefined when the mark is only a part's own bytes. */
function delimiterAt(
  body: Buffer,
  at: number,
  markBytes: number,
  lineEnd: LineEnd | undefined,
): Delimiter | undefined {
  if (!beginsLine(body, at, lineEnd)) return undefined
  let next = at + markBytes
  if (body[next] === dash && body[next + 1] === dash) {
    return { closes: true, lineEnd: '\r\n', next }
  }
  // Gateways of mail were allowed to pad the line (RFC 2046 §5.1.1).
  while (body[next] === 0x20 || body[next] === 0x09) next++
  const own = lineEndAt(body, next)
  if (own === undefined || (lineEnd !== undefined && own !== lineEnd)) return undefined
  return { closes: false, lineEnd: own, next: next + own.length }
}

function beginsLine(body: Buffer, at: number, lineEnd: LineEnd | undefined): boolean {
  if (lineEnd === undefined && at === 0) return true
  if (at === 0 || body[at - 1] !== lineFeed) return false
  return lineEnd !== '\r\n' || body[at - 2] === carriageReturn
}

function lineEndAt(body: Buffer, at: number): LineEnd | undefined {
  if (body[at] === lineFeed) return '\n'
  return body[at] === carriageReturn && body[at + 1] === lineFeed ? '\r\n' : undefined
}

/** Reads header lines up to the blank one; undefined when it does not come in time. */
function readHead(
  body: Buffer,
  from: number,
  lineEnd: LineEnd,
): { readonly contentType: string | undefined; readonly start: number } | undefined {
  let contentType: string | undefined
  for (let at = from; at - from < headBytesMax;) {
    const end = body.indexOf(lineEnd, at, 'latin1')
    if (end < 0) return undefined
    const next = end + lineEnd.length
    if (end === at) return { contentType, start: next }
    if (end - at > headBytesMax) return undefined
    const line = body.toString('latin1', at, end)
    contentType ??= /^content-type[ \t]*:[ \t]*(.*?)[ \t]*$/i.exec(line)?.[1]
    at = next
  }
  return undefined
}
