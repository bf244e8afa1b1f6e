/**
 * The lines of one job in memory: a ring that is bounded in lines and in characters.
 *
 * When it is full, it drops an eighth at once. It does not drop single lines, because each drop changes every index, and a view of
 * the lines then has to start again.
 */
import type { LogLine } from "../wire.ts"
import { isSameEntry, type LogEntry, type LogPart, type LogStore } from "./store.ts"

export const LINES_MAX = 200_000
/** UTF-16 units of all lines, two bytes each: 32 MiB. */
export const CHARS_MAX = 16 * 1024 * 1024
/** A longer line is cut into pieces of this size, each of which becomes a line. */
const LINE_CHARS_MAX = 64 * 1024

/** Calls back soon, once for many changes: with the next frame. */
export type Schedule = (callback: () => void) => void

const nextFrame: Schedule = (callback) => {
  if (typeof requestAnimationFrame === "function") requestAnimationFrame(callback)
  else setTimeout(callback, 16)
}

export interface LinesBounds { readonly lines: number; readonly chars: number }

export class Lines implements LogStore {
  readonly #bounds: LinesBounds
  readonly #schedule: Schedule
  readonly #listeners = new Set<(from: number) => void>()
  /** The entries begin at `#head` and continue at the start of the array; the array grows up to the bound. */
  #ring: (LogEntry | undefined)[] = []
  #head = 0
  #length = 0
  #nChars = 0
  readonly #dropped: Record<LogPart, number> = { build: 0, run: 0 }
  #nNotes = 0
  #changedFrom: number | undefined

  constructor(bounds: LinesBounds = { lines: LINES_MAX, chars: CHARS_MAX }, schedule: Schedule = nextFrame) {
    this.#bounds = bounds
    this.#schedule = schedule
  }

  get length(): number { return this.#length }
  get dropped(): number { return this.#dropped.build + this.#dropped.run }
  get isWhole(): boolean { return this.dropped === 0 && this.#nNotes === 0 }

  at(index: number): LogEntry | undefined {
    return index >= 0 && index < this.#length ? this.#ring[(this.#head + index) % this.#ring.length] : undefined
  }

  append(part: LogPart, lines: readonly LogLine[]): void {
    const from = this.#length
    const hasDropped = this.#push(part, lines)
    if (lines.length > 0) this.#changed(hasDropped ? 0 : from)
  }

  note(part: LogPart, nMissing: number): void {
    const from = this.#length
    const time = this.at(from - 1)?.time ?? 0
    const text = `${nMissing.toLocaleString("en")} ${nMissing === 1 ? "line is" : "lines are"} missing here; the download has them.`
    const hasDropped = this.#add({ part, text, time, isStdErr: false, isNote: true })
    this.#changed(hasDropped ? 0 : from)
  }

  replace(part: LogPart, lines: readonly LogLine[]): void {
    const all = Array.from({ length: this.#length }, (_, index) => this.at(index)!)
    const first = all.findIndex((entry) => entry.part === part)
    if (first < 0 && lines.length === 0) return
    const kept = all.filter((entry) => entry.part !== part)
    const isBuildFirst = part === "build"
    this.#reset()
    const hadDropped = this.dropped > 0
    // Forgets the dropped lines of a replaced part: the new lines are complete.
    this.#dropped[part] = 0
    let hasDropped = isBuildFirst && this.#push(part, lines)
    for (const entry of kept) hasDropped = this.#add(entry) || hasDropped
    if (!isBuildFirst) hasDropped = this.#push(part, lines) || hasDropped
    const from = hadDropped || hasDropped ? 0 : this.#firstOther(all)
    // After a job's end its log is read again and is usually the same as here. Then nothing changes, and the reader's position stays.
    if (from < Math.max(all.length, this.#length)) this.#changed(from)
  }

  /** The first index where the entries differ from the earlier ones. */
  #firstOther(before: readonly LogEntry[]): number {
    const end = Math.min(before.length, this.#length)
    let index = 0
    while (index < end && isSameEntry(this.at(index), before[index]!)) index++
    return index
  }

  clear(): void {
    if (this.#length === 0 && this.dropped === 0) return
    this.#reset()
    this.#dropped.build = this.#dropped.run = 0
    this.#changed(0)
  }

  subscribe(listener: (from: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** How many entries a part has. */
  count(part: LogPart): number {
    let n = 0
    for (let index = 0; index < this.#length; index++) if (this.at(index)!.part === part && !this.at(index)!.isNote) n++
    return n
  }

  #reset(): void {
    this.#ring = []
    this.#head = 0
    this.#length = 0
    this.#nChars = 0
    this.#nNotes = 0
  }

  #push(part: LogPart, lines: readonly LogLine[]): boolean {
    let hasDropped = false
    for (const [text, time, isStdErr] of lines) {
      for (let at = 0; at === 0 || at < text.length; at += LINE_CHARS_MAX) {
        const piece = text.length <= LINE_CHARS_MAX ? text : text.slice(at, at + LINE_CHARS_MAX)
        hasDropped = this.#add({ part, text: piece, time, isStdErr: isStdErr === true }) || hasDropped
      }
    }
    return hasDropped
  }

  #add(entry: LogEntry): boolean {
    const isFull = this.#length >= this.#bounds.lines || this.#nChars + entry.text.length > this.#bounds.chars
    if (isFull) this.#dropOldest(entry.text.length)
    if (this.#length === this.#ring.length) this.#grow()
    this.#ring[(this.#head + this.#length) % this.#ring.length] = entry
    this.#length++
    this.#nChars += entry.text.length
    if (entry.isNote) this.#nNotes++
    return isFull
  }

  #dropOldest(nNew: number): void {
    const lines = this.#bounds.lines - Math.ceil(this.#bounds.lines / 8)
    const chars = this.#bounds.chars - Math.max(nNew, Math.ceil(this.#bounds.chars / 8))
    while (this.#length > 0 && (this.#length > lines || this.#nChars > chars)) {
      const entry = this.#ring[this.#head]!
      this.#nChars -= entry.text.length
      this.#ring[this.#head] = undefined
      this.#head = (this.#head + 1) % this.#ring.length
      this.#length--
      this.#dropped[entry.part]++
    }
  }

  #grow(): void {
    const size = Math.min(this.#bounds.lines, Math.max(1_024, this.#ring.length * 2))
    const ring = new Array<LogEntry | undefined>(Math.max(size, this.#length + 1))
    for (let index = 0; index < this.#length; index++) ring[index] = this.at(index)
    this.#ring = ring
    this.#head = 0
  }

  #changed(from: number): void {
    if (this.#changedFrom !== undefined) {
      this.#changedFrom = Math.min(this.#changedFrom, from)
      return
    }
    this.#changedFrom = from
    this.#schedule(() => {
      const first = this.#changedFrom ?? 0
      this.#changedFrom = undefined
      for (const listener of [...this.#listeners]) listener(first)
    })
  }
}
