import type { LogLine } from "../wire.ts"
import type { LogEntry, LogPart, LogStore } from "./store.ts"

/** Entries and characters that are kept of one log; beyond them the oldest go. */
const ENTRIES_MAX = 200_000
const CHARS_MAX = 32 * 1024 * 1024
/** How many may have gone before the room in front is given back. */
const SLACK = 4_096

/** A log in memory: build lines stand before run lines, each part in the order in which it came. */
export class BoundedLog implements LogStore {
  #entries: LogEntry[] = []
  /** Where the first entry that is kept stands in `#entries`. */
  #start = 0
  #chars = 0
  #dropped = 0
  readonly #listeners = new Set<(from: number) => void>()

  get length(): number {
    return this.#entries.length - this.#start
  }
  get dropped(): number {
    return this.#dropped
  }
  at(index: number): LogEntry | undefined {
    return index < 0 ? undefined : this.#entries[this.#start + index]
  }

  append(part: LogPart, lines: readonly LogLine[]): void {
    const made = lines.map((line) => entryOf(part, line))
    if (made.length === 0) return
    const at = part === "run" ? this.#entries.length : this.#endOfBuild()
    if (at === this.#entries.length) for (const entry of made) this.#entries.push(entry)
    else this.#entries = [...this.#entries.slice(0, at), ...made, ...this.#entries.slice(at)]
    for (const entry of made) this.#chars += entry.text.length
    const from = at - this.#start
    this.#tell(this.#trim() ? 0 : from)
  }

  replace(part: LogPart, lines: readonly LogLine[]): void {
    const others = this.#entries.slice(this.#start).filter((entry) => entry.part !== part)
    const made = lines.map((line) => entryOf(part, line))
    this.#entries = part === "build" ? [...made, ...others] : [...others, ...made]
    this.#start = 0
    this.#chars = this.#entries.reduce((sum, entry) => sum + entry.text.length, 0)
    this.#trim()
    this.#tell(0)
  }

  clear(): void {
    this.#entries = []
    this.#start = this.#chars = this.#dropped = 0
    this.#tell(0)
  }

  subscribe(listener: (from: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Build lines that come late, of a second attempt, stand before the run's all the same. */
  #endOfBuild(): number {
    let at = this.#entries.length
    while (at > this.#start && this.#entries[at - 1]?.part === "run") at--
    return at
  }

  #trim(): boolean {
    const before = this.#start
    while (this.length > ENTRIES_MAX || this.#chars > CHARS_MAX) {
      this.#chars -= this.#entries[this.#start]?.text.length ?? 0
      this.#start++
      this.#dropped++
    }
    const isTrimmed = this.#start > before
    if (this.#start > SLACK) {
      this.#entries = this.#entries.slice(this.#start)
      this.#start = 0
    }
    return isTrimmed
  }

  #tell(from: number): void {
    for (const listener of this.#listeners) listener(from)
  }
}

/** A line of the wire; what is no text becomes one, and what is no time the epoch. */
function entryOf(part: LogPart, line: LogLine): LogEntry {
  const [text, time, isStdErr] = Array.isArray(line) ? line : [line, 0]
  return { part, text: typeof text === "string" ? text : String(text), time: typeof time === "number" ? time : 0, isStdErr: isStdErr === true }
}
