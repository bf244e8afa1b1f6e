/** Search in all lines of a store, in slices, so that the page stays responsive. */
import { isOverwritten, plainEntry } from "./entries.ts"
import type { LogStore } from "./store.ts"

/** Most hits that are kept. With this many the count is shown as "10,000+". */
export const HITS_MAX = 10_000
const SLICE_MS = 8
const TERM_CHARS_MAX = 1_000

/** One hit: the entry's number since the log began, and the index of the match in it. */
export interface Hit {
  readonly entry: number
  readonly nth: number
}

/** How often `text` contains `term` (in lower case), counted up to `max`. */
export function countIn(text: string, term: string, max: number): number {
  const lower = text.toLowerCase()
  let n = 0
  for (let at = lower.indexOf(term); at >= 0 && n < max; at = lower.indexOf(term, at + term.length)) n++
  return n
}

/** The hits of one term in one store. New lines are searched as they come; `onchange` is called after each slice. */
export class LogSearch {
  hits: Hit[] = []
  readonly term: string
  #next: number
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #end: () => void

  constructor(private readonly store: LogStore, term: string, private readonly onchange: () => void) {
    this.term = term.slice(0, TERM_CHARS_MAX).toLowerCase()
    this.#next = store.dropped
    this.#end = store.subscribe((from) => this.#onStore(from))
    this.#slice()
  }

  get isFull(): boolean {
    return this.hits.length >= HITS_MAX
  }

  /** Whether lines are left to be searched. */
  get isGoing(): boolean {
    return this.#next < this.store.dropped + this.store.length && !this.isFull
  }

  dispose(): void {
    this.#end()
    clearTimeout(this.#timer)
  }

  #onStore(from: number): void {
    const changed = this.store.dropped + from
    if (changed < this.#next && from > 0) this.#restart(changed)
    else if (from === 0 && this.#next > this.store.dropped + this.store.length) this.#restart(this.store.dropped)
    this.#timer ??= setTimeout(() => this.#slice(), 50)
  }

  #restart(entry: number): void {
    this.#next = entry
    this.hits = this.hits.filter((hit) => hit.entry < entry)
  }

  #slice(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const end = performance.now() + SLICE_MS
    this.#next = Math.max(this.#next, this.store.dropped)
    while (this.isGoing && performance.now() < end) for (let i = 0; i < 100 && this.isGoing; i++) this.#one()
    if (this.isGoing) this.#timer = setTimeout(() => this.#slice(), 0)
    this.onchange()
  }

  #one(): void {
    const index = this.#next - this.store.dropped
    const entry = this.store.at(index)
    if (entry && this.term && !isOverwritten(entry, this.store.at(index + 1))) {
      const n = countIn(plainEntry(entry), this.term, HITS_MAX - this.hits.length)
      for (let nth = 0; nth < n; nth++) this.hits.push({ entry: this.#next, nth })
    }
    this.#next++
  }
}
