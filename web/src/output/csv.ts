/** A bounded CSV parser: the first rows and columns, with quotes and line ends inside them as in RFC 4180. */
export const ROWS_MAX = 200
export const COLUMNS_MAX = 40
export const CELL_CHARS_MAX = 500

export interface Table {
  rows: string[][]
  /** Whether rows, columns or characters were left out. */
  isCut: boolean
}

/** The most frequent separator in the first line. */
export function separatorOf(text: string): string {
  const line = text.slice(0, 10_000).split(/\r?\n/, 1)[0] ?? ""
  const counts = [",", ";", "\t", "|"].map((separator) => ({ separator, n: line.split(separator).length }))
  return counts.reduce((best, one) => (one.n > best.n ? one : best)).separator
}

/**
 * Reads at most `ROWS_MAX` rows. `isWhole` says that the text is the whole file; otherwise its last, incomplete row is left out.
 */
export function readCsv(text: string, isWhole: boolean): Table {
  const separator = separatorOf(text)
  const table: Table = { rows: [], isCut: !isWhole }
  let row: string[] = []
  let at = text.startsWith("\ufeff") ? 1 : 0
  while (at < text.length) {
    const cell = readCell(text, at, separator)
    if (row.length < COLUMNS_MAX) row.push(cell.text.slice(0, CELL_CHARS_MAX))
    else table.isCut = true
    at = cell.end
    const ender = text[at]
    if (ender === separator) at++
    else {
      if (ender === undefined && !isWhole) break
      table.rows.push(row)
      row = []
      at += text.startsWith("\r\n", at) ? 2 : 1
      if (table.rows.length >= ROWS_MAX) break
    }
    if (at === text.length && ender === separator && isWhole) table.rows.push([...row, ""])
  }
  if (at < text.length) table.isCut = true
  return table
}

function readCell(text: string, start: number, separator: string): { text: string; end: number } {
  if (text[start] !== '"') {
    let end = start
    while (end < text.length && text[end] !== separator && text[end] !== "\n" && text[end] !== "\r") end++
    return { text: text.slice(start, Math.min(end, start + CELL_CHARS_MAX)), end }
  }
  let out = ""
  let at = start + 1
  for (;;) {
    const quote = text.indexOf('"', at)
    const end = quote < 0 ? text.length : quote
    if (out.length < CELL_CHARS_MAX) out += text.slice(at, Math.min(end, at + CELL_CHARS_MAX))
    if (quote < 0) return { text: out, end }
    if (text[quote + 1] !== '"') return { text: out, end: endOfQuoted(text, quote + 1, separator) }
    out += '"'
    at = quote + 2
  }
}

/** Text between a closing quote and the next separator is ignored. */
function endOfQuoted(text: string, from: number, separator: string): number {
  let end = from
  while (end < text.length && text[end] !== separator && text[end] !== "\n" && text[end] !== "\r") end++
  return end
}
