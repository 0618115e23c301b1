/** Cuts a body into lines. Nothing is copied: a line is a byte range of the body. */

export interface Line {
  /** Counted from 1, empty lines included, so that an error can name it. */
  readonly number: number
  readonly start: number
  readonly end: number
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** Where the text begins: behind a byte order mark (EF BB BF), if there is one. */
export function afterByteOrderMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
}

/**
 * The lines between `from` and the end, without their LF or CRLF. Empty lines are left out, and those
 * that `isWanted` does not want; the last line end may be missing. Stops behind `linesMax` + 1 lines,
 * so that a caller sees there were more: who drops lines afterwards would not.
 */
export function splitLines(
  bytes: Buffer,
  linesMax: number,
  from = 0,
  isWanted: (start: number, end: number) => boolean = () => true,
): Line[] {
  const lines: Line[] = []
  let start = from
  for (let number = 1; start < bytes.length && lines.length <= linesMax; number++) {
    const found = bytes.indexOf(lineFeed, start)
    const next = found < 0 ? bytes.length : found
    const end = found > start && bytes[found - 1] === carriageReturn ? found - 1 : next
    if (end > start && isWanted(start, end)) lines.push({ number, start, end })
    start = next + 1
  }
  return lines
}
