/**
 * The queue of the jobs: its address, the changes that are sent to it by requests, and the feed of its socket. Answers to requests
 * are joined with the feed here.
 *
 * With another address or token it opens another connection, and forgets the earlier jobs and workers.
 */
import type { Guard } from "../client/guard.svelte.ts"
import type { Connection, DetailsPart, QueueDetails, QueueState } from "../client/client.ts"
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import { isObject } from "../definition/shape.ts"
import type { EnqueueJob, Job, LogsMessage, Worker } from "../wire.ts"
import { type QueueAddress, type QueueParams, resolveQueue, toggledLocal } from "./address.ts"
import { type Change, Changes, type Outcome } from "./changes.ts"
import { Details } from "./details.svelte.ts"
import { type Frame, JOBS_MAX, readCursor, readJob } from "./frames.ts"
import { type Cursor, JoinedJobs } from "./joined.ts"
import { askOnce, type Fetch, read, Refusal } from "./requests.ts"
import { type Connect, QueueSocket } from "./socket.ts"
import { browserStorage, Tokens } from "./token.ts"

/** How long the queue collects updates before it shows them. */
const SHOW_MS = 50

/** Called with what the feed brings. */
export interface QueueListener {
  /** A connection is open. The listener should send its queries now. */
  onOpen(): void
  onClose(): void
  /** Jobs in their newest states: all that the server lists, or some. An empty list answers a query for an unknown job. */
  onJobs(jobs: Readonly<Record<string, Job>>, isWhole: boolean): void
  onLogs(logs: LogsMessage): void
  /** The last namespace ended its hold on a job: it was cancelled, or its result was removed. */
  onVanished(jobId: string): void
}

export interface QueueOptions {
  readonly root: URL
  readonly problems: Problems
  /** Sets the parameter that names the queue. */
  readonly setQueue?: (queue: string) => void
  readonly tokens?: Tokens
  readonly connect?: Connect
  readonly fetcher?: Fetch
  /** Decides what may be changed if the server is the user's own machine. */
  readonly guard?: Pick<Guard, "act" | "mayChange">
}

export class Queue implements QueueState {
  readonly #options: QueueOptions
  readonly #tokens: Tokens
  listener: QueueListener | undefined
  #address: QueueAddress | undefined = $state.raw(undefined)
  #connection: Connection = $state("none")
  #workers: readonly Worker[] = $state.raw([])
  #shown: Readonly<Record<string, Job>> = $state.raw({})
  #needsToken = $state(false)
  /** How often a token was set. It makes the readers of the token reactive. */
  #nTokens = $state(0)
  readonly #jobs = new JoinedJobs(JOBS_MAX)
  readonly #changes = new Changes()
  readonly #details: Details
  #showing: ReturnType<typeof setTimeout> | undefined
  #socket: QueueSocket | undefined

  constructor(options: QueueOptions) {
    this.#options = options
    this.#tokens = options.tokens ?? new Tokens()
    this.#details = new Details({
      ask: (path, signal) => this.#asked(askOnce(`${this.#address?.url}/${path}`, this.token, { signal }, options.fetcher)),
      mayAsk: () => this.#connection === "open" && !this.#needsToken,
      jobs: () => this.#jobs.all,
      nWorkers: () => this.#workers.length,
    })
  }

  get address(): QueueAddress | undefined { return this.#address }
  get name(): string { return this.#address?.name ?? "" }
  get base(): string { return this.#address?.base ?? this.#options.root.href.replace(/\/+$/, "") }
  get isLocal(): boolean { return this.#address?.isLocal ?? false }
  get isOverridden(): boolean { return this.#address?.isOverridden ?? false }
  get connection(): Connection { return this.#connection }
  get workers(): readonly Worker[] { return this.#workers }
  get jobs(): Readonly<Record<string, Job>> { return this.#shown }
  get needsToken(): boolean { return this.#needsToken }
  get details(): QueueDetails { return this.#details }
  get token(): string | undefined {
    void this.#nTokens
    return this.#address && this.#tokens.get(this.#address.url)
  }

  /** The server's record of a job. It is newer than `jobs`, which shows updates after a delay. */
  jobOf(id: string): Job | undefined {
    return this.#jobs.all.get(id)
  }

  /** Switches to the queue of the parameters. Returns whether it has changed. */
  use(params: QueueParams): boolean {
    let next: QueueAddress | undefined
    try {
      next = resolveQueue(params, this.#options.root)
      this.#options.problems.clear("queue")
    } catch (error) {
      this.#options.problems.say("queue", `${sentenceOf(error)}.`)
    }
    const isSame = next?.url === this.#address?.url
    this.#address = next
    if (!isSame) this.#connect()
    return !isSame
  }

  setToken(token: string): void {
    if (!this.#address) return
    this.#tokens.set(this.#address.url, token)
    this.#nTokens++
    this.#needsToken = false
    this.#options.problems.clear("token")
    this.#details.forget()
    this.#socket?.reconnect()
  }

  toggleLocal(): void {
    this.#options.setQueue?.(toggledLocal(this.name, browserStorage()))
  }

  watch(part: DetailsPart = "all"): () => void {
    return this.#details.watch(part)
  }

  cancel(jobId: string): void {
    if (this.#options.guard?.act() === false) return
    void this.end(jobId, "cancel", "*").then((outcome) => {
      if ("why" in outcome) this.#options.problems.say("cancel", `The job was not cancelled: ${outcome.why}.`)
    })
  }

  /** Whether a change may be sent. */
  get mayChange(): boolean {
    return this.#options.guard?.mayChange !== false
  }

  /** Whether a change of the job is not acknowledged yet. */
  isChanging(jobId: string): boolean {
    return this.#changes.has(jobId)
  }

  /** Submits a job. Before each further try, `isDone` is asked whether the server has the job already. */
  submit(job: EnqueueJob, isDone: () => Promise<boolean>, more: Omit<Change, "send">): Promise<Outcome> {
    const init = { method: "POST", body: JSON.stringify(job), headers: { "Content-Type": "application/json" } }
    const ask = this.#asker("", init)
    let n = 0
    return this.#changes.send(job.id!, { ...more, send: async () => (n++ > 0 && (await isDone())) || (await ask()) })
  }

  /** Ends the hold of a namespace on a job: cancels the job there, or removes its result. */
  end(jobId: string, how: "cancel" | "clear", namespace: string): Promise<Outcome> {
    const query = `namespace=${encodeURIComponent(namespace)}`
    const path = `/j/${encodeURIComponent(jobId)}`
    const ask = how === "clear" ? this.#asker(`${path}?${query}`, { method: "DELETE" })
      : this.#asker(`${path}/cancel?${query}&message=Job%20cancelled%20by%20client`, { method: "POST" })
    // If the server does not have the job any more, there is nothing to end.
    const send = (): Promise<unknown> => ask().catch((error: Refusal) => { if (error.code !== "no-job") throw error })
    return this.#changes.send(jobId, { send })
  }

  /** Asks the feed for the state of a job; `onJobs` gets the answer. Returns false if the feed is not open. */
  query(jobId: string): boolean {
    return this.#socket?.send({ type: "QueryJob", payload: { jobId } }) ?? false
  }

  /** Reads a job's state by a request, and joins it with the feed. Undefined if the server has no such job or does not answer. */
  async readJob(id: string, signal: AbortSignal): Promise<Job | undefined> {
    const answer = await this.read(`j/${encodeURIComponent(id)}`, signal).catch(() => undefined)
    const data = isObject(answer) && isObject(answer.data) ? answer.data : {}
    const job = signal.aborted ? undefined : readJob(data.results)
    return job && this.#take({ [id]: job }, false, readCursor(data.cursor))[id]
  }

  /** Reads JSON at a path below the queue, with several tries. Rejects with a `Refusal`. */
  read(path: string, signal: AbortSignal): Promise<unknown> {
    return this.#asked(read(`${this.#address?.url}/${path}`, this.token, signal, this.#options.fetcher))
  }

  dispose(): void {
    clearTimeout(this.#showing)
    this.#socket?.dispose()
    this.#changes.dispose()
    this.#details.dispose()
  }

  /** Returns a function that sends a change to the present queue, even if the page has another queue when it is called. */
  #asker(path: string, init: RequestInit): () => Promise<unknown> {
    const url = this.#address?.url ?? ""
    return () => {
      if (!this.mayChange) return Promise.reject(new Refusal(403, "nothing is changed on this machine without your own action", "guard"))
      return this.#asked(askOnce(url + path, this.#tokens.get(url), init, this.#options.fetcher), url)
    }
  }

  async #asked(answer: Promise<unknown>, url = this.#address?.url): Promise<unknown> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof Refusal && error.wantsToken && url === this.#address?.url) this.#wantToken(error.message)
      throw error
    }
  }

  #wantToken(why: string): void {
    this.#needsToken = true
    this.#options.problems.say("token", `The server refused access to this queue: ${why}.`, "Enter the queue's token.")
  }

  #connect(): void {
    this.#socket?.dispose()
    this.#socket = undefined
    this.#jobs.clear()
    this.#workers = []
    this.#details.forget()
    this.#needsToken = false
    this.#options.problems.clear("token")
    this.#show()
    const address = this.#address
    this.#connection = address ? "connecting" : "none"
    if (!address) return
    const listener = {
      onOpen: () => this.#opened(),
      onClose: (wasOpen: boolean) => this.#closed(wasOpen),
      onFrame: (frame: Frame) => this.#receive(frame),
    }
    this.#socket = new QueueSocket(() => this.#socketUrl(address), listener, this.#options.connect)
  }

  #socketUrl({ url, socketUrl }: QueueAddress): string {
    const token = this.#tokens.get(url)
    return token === undefined ? socketUrl : `${socketUrl}?token=${encodeURIComponent(token)}`
  }

  #opened(): void {
    this.#connection = "open"
    this.#needsToken = false
    this.#options.problems.clear("token")
    this.#jobs.restart()
    this.#changes.wake()
    this.listener?.onOpen()
  }

  #closed(wasOpen: boolean): void {
    this.#connection = "reconnecting"
    this.listener?.onClose()
    // A browser does not report why a socket did not open; the answer to a request shows the reason.
    if (!wasOpen && this.#address) void this.read("j/0/namespaces.json", AbortSignal.timeout(5_000)).catch(() => {})
  }

  #receive(frame: Frame): void {
    if (frame.type === "workers") this.#workers = frame.workers
    else if (frame.type === "logs") this.listener?.onLogs(frame.logs)
    else if (frame.type === "vanished") this.listener?.onVanished(frame.jobId)
    else this.#take(frame.jobs, frame.isWhole, frame.cursor)
  }

  #take(jobs: Readonly<Record<string, Job>>, isWhole: boolean, cursor: Cursor): Readonly<Record<string, Job>> {
    const newest = this.#jobs.take(jobs, isWhole, cursor)
    this.#showing ??= setTimeout(() => this.#show(), SHOW_MS)
    this.listener?.onJobs(newest, isWhole)
    return newest
  }

  #show(): void {
    clearTimeout(this.#showing)
    this.#showing = undefined
    this.#shown = Object.fromEntries(this.#jobs.all)
  }
}
