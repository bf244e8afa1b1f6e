import { Lines } from "../../log/lines.ts"
import type { ReadLines } from "../../log/whole.ts"
import { JoinedLines } from "../../queue/joined.ts"
import { Refusal } from "../../queue/requests.ts"
import type { Definition, HistoryEntry, Job, LogLine, JobState } from "../../wire.ts"
import { cancelJob, type Cancelled } from "../shared/cancel.ts"
import { ask, failureOf, headersOf, type RequestFailure } from "../shared/fetch.ts"
import { tokens } from "../shared/token.ts"
import type { JobAddress } from "./address.ts"
import { readEvents } from "./events.ts"

/** How often a job without a known queue is polled. */
const POLL_MS = 2_000
/** First and longest pause after failures. */
const PAUSE_MS = [1_000, 2_000, 5_000, 10_000, 15_000]
/** Most transitions that are kept. */
const HISTORY_MAX = 1_000

interface Shown { data: { definition: Definition; results: Job | null } }
interface Slice { data: LogLine[]; nextCursor: number; isFinal: boolean }

/** Finds the queue of a job whose address does not contain it. */
export type Recall = (id: string) => Promise<JobAddress | undefined>

/** One job, followed to its end. Every property is reactive. `dispose` ends all requests. */
export class FollowedJob {
  #address = $state.raw<JobAddress>()!
  /** The earlier address, until the job is found at the new one. */
  #before: JobAddress | undefined
  readonly log = new Lines()
  #phase = $state<"loading" | "shown" | "missing" | "denied">("loading")
  #isLogWhole = $state(false)
  #problem = $state("")
  #definition = $state.raw<Definition>()
  #record = $state.raw<Job>()
  #history = $state.raw<readonly HistoryEntry[]>([])
  #token: string | undefined
  #stop = new AbortController()
  #eventId = ""
  readonly #lines = new JoinedLines()

  constructor(address: JobAddress, token?: string, recall?: Recall) {
    this.#address = address
    void this.#begin(token, recall, this.#stop.signal)
  }

  get address(): JobAddress {
    return this.#address
  }

  get phase(): "loading" | "shown" | "missing" | "denied" {
    return this.#phase
  }
  /** Why the page is not up to date, or `""`. */
  get problem(): string {
    return this.#problem
  }
  get definition(): Definition | undefined {
    return this.#definition
  }
  get record(): Job | undefined {
    return this.#record
  }
  get history(): readonly HistoryEntry[] {
    return this.#history
  }
  get token(): string | undefined {
    return this.#token
  }

  /** Whether the log has ended and is complete here. */
  get isLogWhole(): boolean {
    return this.#isLogWhole
  }

  /** Starts again with a token. */
  setToken(token: string): void {
    tokens.set(tokenKey(this.address), token)
    this.#phase = "loading"
    this.#restart()
  }

  /** Continues at another address of the same job. If the job is not there, returns to the earlier address. */
  setAddress(address: JobAddress): void {
    this.#turnTo(address)
    this.#restart()
  }

  /** Reads the server's log. */
  readonly readLines: ReadLines = async (part, since, signal) => {
    const url = `${this.address.below}/${part}-logs.json?since=${since}`
    const { data, failure } = await ask<Slice>(url, { token: this.#token, signal })
    if (failure) throw new Error(failure.text)
    return { lines: data.data, next: data.nextCursor, isLast: data.isFinal || data.nextCursor <= since }
  }

  /** Cancels the job in all namespaces. Call it only if the job's queue is known. */
  cancel(): Promise<Cancelled> {
    return cancelJob(queueUrlOf(this.address), this.address.id, this.#token)
  }

  dispose(): void {
    this.#stop.abort()
  }

  async #begin(token: string | undefined, recall: Recall | undefined, signal: AbortSignal): Promise<void> {
    const known = this.address.queue === undefined ? await recall?.(this.address.id) : undefined
    if (signal.aborted) return
    if (known) this.#turnTo(known)
    if (token !== undefined) tokens.set(tokenKey(this.address), token)
    this.#restart()
  }

  #turnTo(address: JobAddress): void {
    this.#before = this.#address
    this.#address = address
    this.#eventId = `${this.#lines.seen("build")}.${this.#lines.seen("run")}`
  }

  #restart(): void {
    this.dispose()
    this.#stop = new AbortController()
    this.#token = tokens.get(tokenKey(this.address))
    void this.#follow(this.#stop.signal)
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      const failure = await this.#step(signal)
      if (signal.aborted) return
      if (failure === "over") return void (this.#isLogWhole = true)
      if (failure && failure.kind !== "away") return this.#refused(failure)
      this.#problem = failure?.text ?? ""
      failures = failure ? failures + 1 : 0
      await pause(failure ? (PAUSE_MS[Math.min(failures, PAUSE_MS.length) - 1] ?? POLL_MS) : POLL_MS, signal)
    }
  }

  /** One round: reads the job, then its log. After a round without a failure the next one follows soon. */
  async #step(signal: AbortSignal): Promise<RequestFailure | "over" | undefined> {
    const failure = await this.#load(signal)
    if (failure) return failure
    const isOver = this.#isOver
    const stopped = this.address.queue === undefined ? await this.#poll(signal) : await this.#stream(signal)
    if (stopped !== "over") return stopped
    // The job ended while the log was read: its result must still be loaded.
    return isOver ? "over" : ((await this.#load(signal)) ?? "over")
  }

  get #isOver(): boolean {
    return this.#record === undefined || this.#record.state === "Finished" || this.#record.state === "Removed"
  }

  async #load(signal: AbortSignal): Promise<RequestFailure | undefined> {
    const answer = await ask<Shown>(this.address.json, { token: this.#token, signal })
    if (answer.failure) return answer.failure
    this.#definition = answer.data.data?.definition
    this.#record = answer.data.data?.results ?? undefined
    this.#before = undefined
    this.#phase = "shown"
    this.#problem = ""
    const history = await ask<{ data: HistoryEntry[] }>(`${this.address.below}/history.json`, { token: this.#token, signal })
    if (Array.isArray(history.data?.data)) this.#history = history.data.data.slice(-HISTORY_MAX)
    return undefined
  }

  async #stream(signal: AbortSignal): Promise<RequestFailure | "over" | undefined> {
    try {
      const headers =
        { ...headersOf(this.#token), accept: "text/event-stream", ...(this.#eventId ? { "last-event-id": this.#eventId } : {}) }
      const response =
        await fetch(`${this.address.below}/stream`, { headers, signal, credentials: "omit", referrerPolicy: "no-referrer" })
      if (!response.ok || !response.body) {
        void response.body?.cancel()
        return failureOf(new Refusal(response.status, `the server answered ${response.status}`))
      }
      for await (const event of readEvents(response.body)) {
        this.#eventId = event.id || this.#eventId
        const data = JSON.parse(event.data) as { lines?: LogLine[]; cursor?: number; state?: JobState }
        if (event.name === "final") return "over"
        if (event.name === "build-log" || event.name === "run-log") {
          const part = event.name === "run-log" ? "run" : "build"
          this.log.append(part, this.#lines.take(part, data.lines ?? [], data.cursor))
        }
        if (event.name === "state" && data.state !== this.#record?.state) await this.#load(signal)
      }
      return undefined
    } catch {
      return { kind: "away", text: "The connection broke off. Trying again." }
    }
  }

  async #poll(signal: AbortSignal): Promise<RequestFailure | "over" | undefined> {
    const [build, run] = [await this.#read("build", signal), await this.#read("run", signal)]
    return typeof build === "object" ? build : typeof run === "object" ? run : build === "over" && run === "over" ? "over"
      : undefined
  }

  /** Reads the whole log so far. */
  async #read(part: "build" | "run", signal: AbortSignal): Promise<RequestFailure | "over" | undefined> {
    for (;;) {
      const answer =
        await ask<Slice>(`${this.address.below}/${part}-logs.json?since=${this.#lines.seen(part)}`, { token: this.#token, signal })
      if (answer.failure) return answer.failure
      const { data, nextCursor, isFinal } = answer.data
      const isNew = Array.isArray(data) && data.length > 0 && nextCursor > this.#lines.seen(part)
      if (isNew) this.log.append(part, this.#lines.take(part, data, nextCursor))
      if (isFinal) return "over"
      if (!isNew) return undefined
    }
  }

  #refused(failure: RequestFailure): void {
    if (failure.kind === "missing" && this.#before) {
      this.#address = this.#before
      this.#before = undefined
      return this.#restart()
    }
    this.#phase = failure.kind === "denied" ? "denied" : "missing"
    this.#problem = failure.text
  }
}

/** The queue of a job with a known queue. */
export function queueUrlOf({ below }: JobAddress): string {
  return below.slice(0, below.lastIndexOf("/j/"))
}

/** The key under which a token is stored: the queue's URL if the queue is known, otherwise the job's. */
function tokenKey(address: JobAddress): string {
  return address.queue === undefined ? address.below : queueUrlOf(address)
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true })
  })
}
