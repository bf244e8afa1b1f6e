import { root } from "../../root.ts"
import { cancelJob } from "../shared/cancel.ts"
import { ask, type RequestFailure } from "../shared/fetch.ts"
import { tokens } from "../shared/token.ts"
import { JobRows } from "./rows.svelte.ts"
import type { Report, Span } from "../../wire.ts"

/** How often the report is requested while the page is visible. The server makes a new one every two seconds. */
const POLL_MS = 3_000
/** Longest pause while the server does not answer. */
const POLL_MAX_MS = 30_000

/** One queue, watched. Every property is reactive. `dispose` ends all requests. */
export class WatchedQueue {
  readonly name: string
  readonly rows: JobRows
  #span = $state<Span>("hour")
  #report = $state.raw<Report>()
  #denied = $state("")
  #problem = $state("")
  #token = $state<string>()
  #timer: ReturnType<typeof setTimeout> | undefined
  #stop = new AbortController()
  #failures = 0
  readonly #onvisible = (): void => {
    if (!document.hidden) this.#ask()
  }

  constructor(name: string, token?: string) {
    this.name = name
    if (token !== undefined) tokens.set(this.url, token)
    this.#token = tokens.get(this.url)
    this.rows = new JobRows(this.url, () => this.#token, (failure) => this.#refused(failure))
    document.addEventListener("visibilitychange", this.#onvisible)
    this.#ask()
  }

  /** The URL below which everything of the queue is. */
  get url(): string {
    return `${root.href}q/${encodeURIComponent(this.name)}`
  }
  get span(): Span {
    return this.#span
  }
  get report(): Report | undefined {
    return this.#report
  }
  /** Why a token is required, or `""`. */
  get denied(): string {
    return this.#denied
  }
  /** Why the numbers are not up to date, or `""`. */
  get problem(): string {
    return this.#problem
  }
  get hasToken(): boolean {
    return this.#token !== undefined
  }

  setSpan(span: Span): void {
    this.#span = span
    this.#report = undefined
    this.#ask()
  }

  setToken(token: string): void {
    tokens.set(this.url, token)
    this.#token = tokens.get(this.url)
    this.#denied = ""
    this.rows.restart()
    this.#ask()
  }

  /** Cancels a job in every namespace that holds it. Returns why it failed, or `""`. */
  async cancel(id: string): Promise<string> {
    const { denied, said } = await cancelJob(this.url, id, this.#token)
    if (denied !== "") this.#denied = denied
    this.rows.refresh(true)
    this.#ask()
    return said
  }

  dispose(): void {
    document.removeEventListener("visibilitychange", this.#onvisible)
    clearTimeout(this.#timer)
    this.#stop.abort()
    this.rows.dispose()
  }

  /** Requests the report now and then repeatedly; a request in progress is dropped. */
  #ask(): void {
    clearTimeout(this.#timer)
    this.#stop.abort()
    this.#stop = new AbortController()
    void this.#step(this.#stop.signal)
  }

  async #step(signal: AbortSignal): Promise<void> {
    const answer = await ask<{ data: Report }>(`${this.url}/report.json?span=${this.#span}`, { token: this.#token, signal })
    if (signal.aborted) return
    if (answer.failure) this.#refused(answer.failure)
    else {
      this.#report = answer.data.data
      this.#problem = this.#denied = ""
      this.#failures = 0
      this.rows.refresh(false)
    }
    if (this.#denied !== "" || document.hidden) return
    this.#timer = setTimeout(() => this.#ask(), Math.min(POLL_MS * 2 ** this.#failures, POLL_MAX_MS))
  }

  #refused(failure: RequestFailure): void {
    if (failure.kind === "denied") this.#denied = failure.text
    else this.#problem = failure.text
    this.#failures = Math.min(this.#failures + 1, 10)
  }
}
