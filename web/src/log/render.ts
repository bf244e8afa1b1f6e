/** Turns entries into text for the terminal. */
import { bytesText, timeText } from "../ui/format.ts"
import { isOpen, isOverwritten, isSameStream, linesOf } from "./entries.ts"
import { Colours } from "./colours.ts"
import { cutLine, endBlock, newRow, sanitise, type Cursor } from "./sanitise.ts"
import type { LogEntry } from "./store.ts"

/** The look of rows. */
export interface RowLook {
  hasTimes: boolean
  /** Red, green and blue of lines on stderr, as SGR writes them: `200;80;0`. */
  stderr: string
  build: string
  faint: string
}

const RESET = "\x1b[0m"

/** Writes entries in order. It remembers whether the last one is still open, so that the next one may overwrite it. */
export class RowWriter {
  readonly #cursor: Cursor = { depth: 0, rows: 0, colours: new Colours() }
  /** The colours of each stream. A terminal would keep a colour after the end of a line and use it for the other streams too. */
  readonly #colours = new Map<string, Colours>()
  #last: LogEntry | undefined

  /** Applies the colours that an entry leaves for later ones, if the entry itself is not written. */
  pass(entry: LogEntry): void {
    if (!entry.text.includes("\x1b[") || entry.isNote) return
    this.#turnTo(entry)
    for (const line of linesOf(entry)) sanitise(cutLine(line).shown, "", { ...this.#cursor })
  }

  /** The text that the terminal gets for one entry; empty for an entry that `next` overwrites at once. */
  write(entry: LogEntry, next: LogEntry | undefined, look: RowLook): string {
    if (isOverwritten(entry, next)) return ""
    this.#turnTo(entry)
    const prefix = prefixOf(entry, look)
    let out = this.#begin(entry)
    for (const [at, line] of linesOf(entry).entries()) {
      if (at > 0) out += newRow(this.#cursor)
      const { shown, left } = cutLine(line)
      out += sanitise(shown, prefix, this.#cursor) || prefix
      if (left > 0) out += `${RESET}\x1b[7m … ${bytesText(left)} more, download ${RESET}`
      out += RESET
    }
    this.#last = entry
    return out
  }

  #turnTo(entry: LogEntry): void {
    const stream = entry.isNote ? "note" : `${entry.part} ${entry.isStdErr}`
    const known = this.#colours.get(stream)
    this.#cursor.colours = known ?? new Colours()
    if (!known) this.#colours.set(stream, this.#cursor.colours)
  }

  #begin(entry: LogEntry): string {
    const last = this.#last
    if (!last) return ""
    if (!isSameStream(last, entry)) {
      const down = endBlock(this.#cursor)
      return down + newRow(this.#cursor)
    }
    return isOpen(last) ? "\r\x1b[K" : newRow(this.#cursor)
  }
}

/** The start of a line, with a mark, because colour alone is not enough: `┃` for stderr, `┊` for the build, none for stdout. */
function prefixOf(entry: LogEntry, look: RowLook): string {
  if (entry.isNote) return `${RESET}\x1b[38;2;${look.faint}m⋯ `
  const colour = entry.isStdErr ? look.stderr : look.build
  const mark = entry.isStdErr ? "┃ " : entry.part === "build" ? "┊ " : "  "
  const time = look.hasTimes ? `\x1b[38;2;${look.faint}m${timeText(entry.time)} ` : ""
  const own = entry.isStdErr || entry.part === "build" ? `\x1b[38;2;${colour}m` : ""
  return `${RESET}${time}${time && !own ? RESET : ""}${own}${mark}`
}
