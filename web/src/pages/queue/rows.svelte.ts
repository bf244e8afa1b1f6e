import { ask, type RequestFailure } from "../shared/fetch.ts"
import type { JobPage, ListedJob } from "../../wire.ts"

/** Jobs of one page; the server returns at most this many. */
export const PAGE_ROWS = 200
/** How long a page that could not be loaded is not requested again. */
const PAUSE_MS = 3_000
/** Most jobs in the list: about 60 MB. */
export const ROWS_MAX = 100_000

export type StateFilter = "" | "Running" | "Queued" | "Finished"

/** The loaded jobs of a queue, newest first. Only `version` and `length` are reactive, because there may be many rows. */
export class JobRows {
  #rows: ListedJob[] = []
  #next: string | null = null
  #version = $state(0)
  #filter = $state<StateFilter>("")
  #isLoading = $state(false)
  #isComplete = $state(false)
  #stop = new AbortController()
  #pausedUntil = 0
  readonly #url: string
  readonly #token: () => string | undefined
  readonly #onfailure: (failure: RequestFailure) => void

  constructor(url: string, token: () => string | undefined, onfailure: (failure: RequestFailure) => void) {
    this.#url = url
    this.#token = token
    this.#onfailure = onfailure
    void this.#load(null)
  }

  /** Increases with each change of the rows. */
  get version(): number {
    return this.#version
  }
  get length(): number {
    return this.#version >= 0 ? this.#rows.length : 0
  }
  get filter(): StateFilter {
    return this.#filter
  }
  get isLoading(): boolean {
    return this.#isLoading
  }
  /** Whether no further page follows. */
  get isComplete(): boolean {
    return this.#isComplete
  }
  get isFull(): boolean {
    return this.length >= ROWS_MAX
  }

  /** Some of the rows. */
  slice(from: number, to: number): readonly ListedJob[] {
    return this.#version >= 0 ? this.#rows.slice(from, to) : []
  }

  setFilter(filter: StateFilter): void {
    this.#filter = filter
    this.restart()
  }

  /** Starts again with the newest. */
  restart(): void {
    this.#rows = []
    this.#isComplete = false
    this.#version++
    void this.#load(null)
  }

  /** Reloads the first page. If more pages are loaded, it does so only when forced, because the visible rows would go. */
  refresh(isForced: boolean): void {
    if (isForced || (!this.#isLoading && this.#rows.length <= PAGE_ROWS)) void this.#load(null)
  }

  /** Loads the page after the last row, unless there is none or it is being loaded. */
  more(): void {
    const mayAsk = !this.#isLoading && !this.#isComplete && !this.isFull && Date.now() >= this.#pausedUntil
    if (mayAsk && this.#next !== null) void this.#load(this.#next)
  }

  dispose(): void {
    this.#stop.abort()
  }

  async #load(before: string | null): Promise<void> {
    this.#stop.abort()
    const { signal } = (this.#stop = new AbortController())
    this.#isLoading = true
    const query = new URLSearchParams({ limit: String(PAGE_ROWS) })
    if (this.#filter) query.set("state", this.#filter)
    if (before !== null) query.set("before", before)
    const answer = await ask<JobPage>(`${this.#url}/jobs?${query}`, { token: this.#token(), signal })
    if (signal.aborted) return
    if (answer.failure) this.#pausedUntil = Date.now() + PAUSE_MS
    this.#isLoading = false
    if (answer.failure) return this.#onfailure(answer.failure)
    const rows = Array.isArray(answer.data.data) ? answer.data.data.slice(0, PAGE_ROWS) : []
    if (before === null) this.#rows = rows
    else for (const row of rows) this.#rows.push(row)
    this.#next = answer.data.next
    this.#isComplete = this.#next === null
    this.#version++
  }
}
