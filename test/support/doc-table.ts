/** Tables of a Markdown page, so that tests can compare them with the code. */

export type Row = readonly string[]

/** All rows of all tables, without heads and rulers; each cell trimmed, code marks taken off. */
export function tableRows(markdown: string): Row[] {
  const lines = markdown.split('\n')
  return lines.flatMap((line, index) => {
    const isHead = /^\|[-| :]+\|$/.test(lines[index + 1] ?? '')
    if (!line.startsWith('|') || isHead || /^\|[-| :]+\|$/.test(line)) return []
    // A pipe inside a cell is written as \|.
    const cells = line.slice(1, line.lastIndexOf('|')).split(/(?<!\\)\|/)
    return [cells.map((cell) => plain(cell))]
  })
}

function plain(cell: string): string {
  const text = cell.trim().replaceAll('\\|', '|')
  return /^`[^`]*`$/.test(text) ? text.slice(1, -1) : text
}
