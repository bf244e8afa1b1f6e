/**
 * Entries of a log as lines. An entry of a worker is one line without its end; it ends with `\r` if the next entry overwrites it, as
 * progress does. Entries of other workers contain several lines with their ends.
 */
import type { LogEntry, LogStore } from "./store.ts"
import { cutLine, plainLine } from "./sanitise.ts"

/** Lines of one entry, without ends. */
export function linesOf(entry: LogEntry): string[] {
  const text = entry.text.endsWith("\n") ? entry.text.slice(0, -1) : entry.text
  return text.includes("\n") ? text.split(/\r*\n/) : [text.endsWith("\r") && entry.text.endsWith("\n") ? text.slice(0, -1) : text]
}

/** Whether the next entry of the same stream overwrites this one. */
export function isOpen(entry: LogEntry): boolean {
  return entry.text.endsWith("\r")
}

/** Whether both come from one stream of one part. */
export function isSameStream(a: LogEntry, b: LogEntry): boolean {
  return a.part === b.part && a.isStdErr === b.isStdErr
}

/** Whether nothing of this entry stays visible, because the one after it overwrites its only line. */
export function isOverwritten(entry: LogEntry, next: LogEntry | undefined): boolean {
  return next !== undefined && isOpen(entry) && isSameStream(entry, next) && !entry.text.includes("\n")
}

/** The visible text of one entry: its lines, plain, cut where the view cuts them. */
export function plainEntry(entry: LogEntry): string {
  return linesOf(entry).map((line) => plainLine(cutLine(line).shown)).join("\n")
}

/** Collects entries as plain text of whole lines, optionally with times. It writes an entry when it knows the next one. */
export class PlainText {
  readonly #time: ((epochMs: number) => string) | undefined
  readonly #pieces: BlobPart[] = []
  #piece = ""
  #last: LogEntry | undefined

  constructor(time?: (epochMs: number) => string) {
    this.#time = time
  }

  /** Adds a line of the page's own, in brackets. */
  say(text: string): void {
    this.#piece += `[${text}]\n`
  }

  add(entry: LogEntry): void {
    this.#write(entry)
    this.#last = entry
  }

  end(): Blob {
    this.#write(undefined)
    return new Blob([...this.#pieces, this.#piece], { type: "text/plain;charset=utf-8" })
  }

  #write(next: LogEntry | undefined): void {
    const entry = this.#last
    if (!entry || isOverwritten(entry, next)) return
    if (entry.isNote) return this.say(entry.text)
    for (const line of linesOf(entry)) this.#piece += (this.#time ? `${this.#time(entry.time)} ` : "") + plainLine(line) + "\n"
    if (this.#piece.length < 1_000_000) return
    this.#pieces.push(this.#piece)
    this.#piece = ""
  }
}

/** The whole store as text. It is as large as the store, which is bounded. */
export function plainText(store: LogStore, time?: (epochMs: number) => string): Blob {
  const text = new PlainText(time)
  if (store.dropped > 0) text.say(`${store.dropped} earlier lines are not here`)
  for (let at = 0; at < store.length; at++) text.add(store.at(at)!)
  return text.end()
}
