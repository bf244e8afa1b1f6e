/**
 * The queue of the jobs: its address, its socket, and the server's data about it.
 *
 * Another address or token means another connection; the earlier jobs and workers are forgotten.
 */
import type { Guard } from "../client/guard.svelte.ts"
import type { Connection, DetailsPart, QueueDetails, QueueState } from "../client/client.ts"
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import type { ClientMessage, Job, LogsMessage, StateChange, Worker } from "../wire.ts"
import { type QueueAddress, type QueueParams, resolveQueue, toggledLocal } from "./address.ts"
import { Details } from "./details.svelte.ts"
import { type Frame, JOBS_MAX } from "./frames.ts"
import { Outbox } from "./outbox.ts"
import { askOnce, type Fetch, read, Refusal } from "./requests.ts"
import { type Connect, QueueSocket } from "./socket.ts"
import { browserStorage, Tokens } from "./token.ts"

/** A burst of updates is shown once. */
const SHOW_MS = 50

/** Listeners for the socket's messages. */
export interface QueueListener {
  /** A connection is open: now the listener sends its queries. */
  onOpen(): void
  onClose(): void
  onJobs(jobs: Readonly<Record<string, Job>>, isWhole: boolean): void
  onLogs(logs: LogsMessage): void
  /** The last namespace ended its hold on a job: it was cancelled, or its result was removed. */
  onVanished(jobId: string): void
  /** Sent, but the server did not confirm it. */
  onUnconfirmed(change: StateChange): void
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
  readonly outbox: Outbox
  listener: QueueListener | undefined
  #address: QueueAddress | undefined = $state.raw(undefined)
  #connection: Connection = $state("none")
  #workers: readonly Worker[] = $state.raw([])
  #shown: Readonly<Record<string, Job>> = $state.raw({})
  #needsToken = $state(false)
  /** How often a token was set: readers of the token react to it. */
  #nTokens = $state(0)
  readonly #jobs = new Map<string, Job>()
  readonly #details: Details
  #showing: ReturnType<typeof setTimeout> | undefined
  #socket: QueueSocket | undefined

  constructor(options: QueueOptions) {
    this.#options = options
    this.#tokens = options.tokens ?? new Tokens()
    this.outbox = new Outbox({
      send: (message) => this.send(message),
      onUnconfirmed: (change) => this.listener?.onUnconfirmed(change),
    })
    this.#details = new Details({
      ask: (path, signal) => this.#asked(askOnce(`${this.#address?.url}/${path}`, this.token, { signal }, options.fetcher)),
      mayAsk: () => this.#connection === "open" && !this.#needsToken,
      jobs: () => this.#jobs,
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

  /** The server's record of a job, without the delay of `jobs`. */
  jobOf(id: string): Job | undefined {
    return this.#jobs.get(id)
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
    this.outbox.post([endChange(jobId, "Cancelled", "*")])
  }

  /** Whether a change may be sent. */
  get mayChange(): boolean {
    return this.#options.guard?.mayChange !== false
  }

  /** Sends on the socket; false when it is not open. */
  send(message: ClientMessage): boolean {
    if (message.type === "StateChange" && !this.mayChange) return false
    return this.#socket?.send(message) ?? false
  }

  /** Reads JSON at a path below the queue, with some tries. Rejects with a `Refusal`. */
  read(path: string, signal: AbortSignal): Promise<unknown> {
    return this.#asked(read(`${this.#address?.url}/${path}`, this.token, signal, this.#options.fetcher))
  }

  /** Posts JSON to the queue. Rejects with a `Refusal`. */
  post(body: unknown): Promise<unknown> {
    if (!this.mayChange) return Promise.reject(new Refusal(403, "nothing is changed on this machine without your own action"))
    const init = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }
    return this.#asked(askOnce(this.#address?.url ?? "", this.token, init, this.#options.fetcher))
  }

  dispose(): void {
    clearTimeout(this.#showing)
    this.#socket?.dispose()
    this.outbox.dispose()
    this.#details.dispose()
  }

  async #asked(answer: Promise<unknown>): Promise<unknown> {
    const url = this.#address?.url
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
    this.outbox.dispose()
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
    this.outbox.onOpen()
    this.listener?.onOpen()
  }

  #closed(wasOpen: boolean): void {
    this.#connection = "reconnecting"
    this.outbox.onClose()
    this.listener?.onClose()
    // A browser does not report why a socket did not open; a request does.
    if (!wasOpen && this.#address) void this.read("j/0/namespaces.json", AbortSignal.timeout(5_000)).catch(() => {})
  }

  #receive(frame: Frame): void {
    if (frame.type === "workers") this.#workers = frame.workers
    else if (frame.type === "logs") this.listener?.onLogs(frame.logs)
    else if (frame.type === "vanished") this.listener?.onVanished(frame.jobId)
    else this.#merge(frame.jobs, frame.isWhole)
  }

  #merge(jobs: Readonly<Record<string, Job>>, isWhole: boolean): void {
    if (isWhole) this.#jobs.clear()
    for (const [id, job] of Object.entries(jobs)) {
      this.#jobs.delete(id)
      this.#jobs.set(id, job)
    }
    for (const id of this.#jobs.keys()) {
      if (this.#jobs.size <= JOBS_MAX) break
      this.#jobs.delete(id)
    }
    this.#showing ??= setTimeout(() => this.#show(), SHOW_MS)
    this.outbox.onJobs(jobs, isWhole)
    this.listener?.onJobs(jobs, isWhole)
  }

  #show(): void {
    clearTimeout(this.#showing)
    this.#showing = undefined
    this.#shown = Object.fromEntries(this.#jobs)
  }
}

/** The change by which a namespace ends its hold on a job: it cancels the job, or removes its result. */
export function endChange(jobId: string, reason: "Cancelled" | "Deleted", namespace: string): StateChange {
  const message = reason === "Cancelled" ? { message: "Job cancelled by client" } : {}
  return { tag: "", state: "Finished", job: jobId, value: { type: "Finished", reason, time: Date.now(), namespace, ...message } }
}
