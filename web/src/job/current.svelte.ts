/**
 * The one job that the page is about: what the server says of it, what is kept of it here, and what is asked for it.
 *
 * Everything belongs to one id at one queue. When either changes, all that is under way for the old one is ended by its signal.
 */
import type { CurrentJob, Phase } from "../client/client.ts"
import type { Problems } from "../client/problems.svelte.ts"
import { sentenceOf } from "../client/problems.svelte.ts"
import { sha256Hex } from "../definition/sha256.ts"
import type { Settled } from "../definition/settle.ts"
import { Uploader } from "../definition/upload.ts"
import { Lines } from "../log/lines.ts"
import { letGo, type Queue, type QueueListener } from "../queue/queue.svelte.ts"
import { winner } from "../queue/winner.ts"
import type { Definition, Job, JobResult, LogsMessage, StateChange } from "../wire.ts"
import type { Database } from "./database.ts"
import { explain, readWaiting, type Waiting } from "./explain.ts"
import { LogFollower } from "./follower.ts"
import { hasResult, isActive, phaseOf } from "./phase.ts"
import { controlOf, recordOf, type Terms } from "./hand.ts"
import { loadResult } from "./load.ts"
import { Submission } from "./submission.svelte.ts"
import { Timers } from "./timers.ts"

/** Changes that come together are one submission, one query. */
export const SUBMIT_MS = 200
const QUERY_MS = 200
/** A server that has not answered the query for a job by then does not know queries: an automatic start goes ahead. */
export const ANSWER_MS = 1_500
/** Between looks at the job's place in the queue; the second is for later looks. */
const LOOK_MS = 4_000
const FIRST_LOOK_MS = 300
export interface CurrentOptions {
  readonly queue: Queue
  readonly problems: Problems
  readonly database: Database
  readonly terms: () => Terms
  readonly isAutostart: () => boolean
  /** A result of the current job was loaded. */
  readonly onResult: (id: string, record: Job) => void
  /** The state of the current job changed. */
  readonly onPhase: (phase: Phase) => void
  /** The current job is submitted. */
  readonly onSubmit: (settled: Settled) => void
  readonly uploader?: Uploader
  readonly log?: Lines
}

export class Current implements CurrentJob, QueueListener {
  readonly #options: CurrentOptions
  readonly #queue: Queue
  readonly #uploader: Uploader
  readonly #submission: Submission
  readonly log: Lines
  readonly #follower: LogFollower
  #isRunnable = $state(false)
  #settled: Settled | undefined = $state.raw(undefined)
  #record: Job | undefined = $state.raw(undefined)
  #result: JobResult | undefined = $state.raw(undefined)
  #waiting: Waiting | undefined = $state.raw(undefined)
  #hasNoResult = $state(false)
  #isBuilding = $state(false)
  /** Our own record: of the database, or of a cancel that the server need not know yet. */
  #ours: Job | undefined
  #isAnswered = false
  #isStarted = false
  #isStopped = false
  #life = new AbortController()
  #loading: Job | undefined
  #told: string | undefined
  readonly #timers = new Timers()

  constructor(options: CurrentOptions) {
    this.#options = options
    this.#queue = options.queue
    this.#uploader = options.uploader ?? new Uploader()
    this.log = options.log ?? new Lines()
    this.#follower = new LogFollower(this.log, (path, signal) => this.#queue.read(path, signal))
    this.#submission = new Submission({
      queue: this.#queue, problems: options.problems, terms: options.terms, uploader: this.#uploader,
      onChange: () => this.#tellPhase(), onRecord: (record) => this.#consider(record), onEnd: () => {},
    })
    this.#queue.listener = this
  }

  get definition(): Definition | undefined { return this.#settled?.definition }
  get id(): string | undefined { return this.#settled?.id }
  get record(): Job | undefined { return this.#record }
  get result(): JobResult | undefined { return this.#result }
  get uploads(): Readonly<Record<string, number>> { return this.#submission.uploads }

  get phase(): Phase {
    return phaseOf({
      isRunnable: this.#isRunnable, hasQueue: this.#queue.address !== undefined, isSubmitting: this.#submission.isUnderWay,
      isUploading: this.#submission.isUploading, record: this.#record, result: this.#submission.old ? undefined : this.#result, 
      hasNoResult: this.#hasNoResult, isBuilding: this.#isBuilding,
    })
  }

  get explanation(): string {
    return explain({
      phase: this.phase, connection: this.#queue.connection, record: this.#record, result: this.#result, waiting: this.#waiting,
      nWorkers: this.#queue.workers.length, nUploads: Object.keys(this.uploads).length, hasNoResult: this.#hasNoResult,
    })
  }

  get since(): number | undefined {
    if (this.#submission.isUnderWay) return this.#submission.since
    return this.#record?.state === "Queued" ? this.#record.queuedTime : this.#record?.time
  }

  get startedAt(): number | undefined {
    const record = this.#record
    if (record?.state === "Running") return record.time
    const duration = this.#result?.duration
    return record?.state === "Finished" && duration !== undefined ? record.time - duration : undefined
  }

  /** Whether there is something to run, before it is known under which id. */
  setRunnable(isRunnable: boolean): void {
    this.#isRunnable = isRunnable
    if (!isRunnable) this.setSettled(undefined)
    this.#tellPhase()
  }

  /** The job is now this one. The same id keeps all that is known of it. */
  setSettled(settled: Settled | undefined): void {
    const isSame = settled?.id === this.#settled?.id
    this.#settled = settled
    if (!isSame) this.restart()
  }

  /** Forgets what is known of the job, and asks anew: the id or the queue changed. */
  restart(): void {
    this.#life.abort()
    this.#life = new AbortController()
    this.#timers.endAll()
    this.#record = this.#result = this.#ours = this.#loading = this.#waiting = undefined
    this.#hasNoResult = this.#isBuilding = this.#isAnswered = this.#isStarted = this.#isStopped = false
    this.#submission.forget()
    const id = this.id
    this.#follower.follow(id ?? "", this.#life.signal)
    this.#follower.clear()
    if (id !== undefined && this.#queue.address) {
      void this.#recall()
      this.#consider(this.#queue.jobOf(id))
      this.#timers.after("query", QUERY_MS, () => this.#query())
    }
    this.#tellPhase()
  }

  // What the socket says.

  onOpen(): void {
    this.#isAnswered = false
    this.#query()
    if (this.#record?.state === "Running") void this.#follower.catchUp()
  }

  onClose(): void {
    this.#isAnswered = false
    this.#timers.end("answer")
  }

  onJobs(jobs: Readonly<Record<string, Job>>, isWhole: boolean): void {
    const id = this.id
    if (id === undefined) return
    const record = Object.hasOwn(jobs, id) ? jobs[id] : undefined
    if (!record && this.#ours?.finishedReason === "Deleted") this.#ours = undefined
    if (record) this.#consider(record)
    else if (isWhole && isActive(this.#record) && !this.#queue.outbox.has(id)) void this.#askEnd()
    if (record || (!isWhole && Object.keys(jobs).length === 0)) this.#answered()
  }

  onLogs(logs: LogsMessage): void {
    const isLive = this.#record?.state === "Running" || this.#record?.state === "Queued"
    if (logs.jobId !== this.id || !isLive || !this.#follower.take(logs)) return
    this.#isBuilding = this.#follower.lastPart === "build"
    this.#tellPhase()
  }

  onUnconfirmed(change: StateChange): void {
    const { enqueued } = change.value
    if (change.job === this.id && enqueued) void this.#submission.confirm(enqueued, this.#life.signal)
  }

  // What the user asks for.

  /** Shows at once that a run was asked for; `run` or `giveUp` follows. */
  prepare(): void {
    this.#submission.begin()
  }

  giveUp(): void {
    this.#submission.end()
  }

  /** Submits the job. With `isAnew` an earlier result is thrown away on the server; here it stays until the new one comes. */
  run(isAnew = false): void {
    const settled = this.#settled
    if (!settled || !this.#queue.address) return this.giveUp()
    this.prepare()
    this.#isStarted = true
    this.#isStopped = false
    this.#timers.after("submit", SUBMIT_MS, () => void this.#submit(isAnew))
  }

  /** Stops it, here at once. What was not sent yet is never sent. */
  stop(): void {
    const id = this.id
    if (id === undefined) return
    this.#timers.end("submit")
    this.#life.abort()
    this.#life = new AbortController()
    this.#follower.follow(id, this.#life.signal)
    this.#isStopped = true
    this.#loading = undefined
    this.giveUp()
    this.#queue.outbox.post([letGo(id, "Cancelled", this.#namespace)])
    this.#mark("Cancelled")
  }

  /** Throws the result away, here and on the server. */
  clear(): void {
    const id = this.id
    if (id === undefined || !this.#queue.address) return
    this.#queue.outbox.post([letGo(id, "Deleted", this.#namespace)])
    void this.#options.database.forgetResult(this.#key(id))
    this.#isStopped = true
    this.#result = undefined
    this.giveUp()
    this.#follower.clear()
    this.#mark("Deleted")
  }

  /** Looks whether the job is to start by itself. Called when the parameter changes too. */
  autostart(): void {
    const record = this.#record
    const isWanted = this.#options.isAutostart() && this.#settled !== undefined && !this.#isStarted && !this.#isStopped
    const isKnown = record !== undefined && (isActive(record) || hasResult(record))
    if (isWanted && this.#isAnswered && this.#queue.connection === "open" && !isKnown) this.run()
  }

  /** Sends what was dropped onto the page before a run is asked for. */
  async uploadEarly(names: ReadonlySet<string>): Promise<void> {
    const uploads = this.#settled?.uploads.filter((upload) => names.has(upload.name) && !this.#uploader.isKnown(upload)) ?? []
    if (uploads.length > 0) await this.#submission.store(uploads, this.#life.signal)
  }

  dispose(): void {
    this.#life.abort()
    this.#timers.endAll()
  }

  get #namespace(): string {
    return controlOf(this.#options.terms(), undefined).namespace ?? "_"
  }

  #key(id: string): string {
    return sha256Hex(new TextEncoder().encode(`${this.#queue.address?.url} ${id}`))
  }

  #tellPhase(): void {
    const { phase, id } = this
    const told = `${phase} ${id}`
    if (told === this.#told) return
    this.#told = told
    this.#options.onPhase(phase)
  }

  async #recall(): Promise<void> {
    const { id } = this
    const { signal } = this.#life
    const kept = await this.#options.database.result(this.#key(id!))
    if (signal.aborted || !kept || this.#ours || this.#submission.isUnderWay) return
    this.#ours = kept
    this.#consider(this.#queue.jobOf(id!))
  }

  #query(): void {
    if (this.id === undefined || !this.#queue.send({ type: "QueryJob", payload: { jobId: this.id } })) return
    if (!this.#isAnswered) this.#timers.after("answer", ANSWER_MS, () => this.#answered())
  }

  #answered(): void {
    this.#timers.end("answer")
    this.#isAnswered = true
    this.autostart()
  }

  /** Puts the server's record and ours together, and shows what counts. */
  #consider(server: Job | undefined): void {
    const { old, isUnderWay, isUploading } = this.#submission
    if (server && server.state === "Finished" && server.queuedTime === old?.queuedTime) return
    const record = server && this.#ours ? winner(server, this.#ours) : (server ?? this.#ours)
    if (!record) return
    // Of two equal records ours wins; the server's says all the same that it knows the job.
    const isKnown = server !== undefined && (record === server || hasResult(server))
    if (isKnown && isUnderWay && !isUploading && !this.#timers.has("submit")) this.#submission.confirmed()
    this.#show(record)
  }

  #show(record: Job): void {
    const before = this.#record
    const isSame = before?.state === record.state && before.time === record.time && before.finishedReason === record.finishedReason
    if (isSame && !(record.finished?.result && !before.finished?.result)) return
    this.#record = record
    if (record.state === "Queued") this.#showQueued()
    else this.#timers.end("look")
    if (record.state === "Running") this.#showRunning(before)
    if (hasResult(record)) void this.#load(record)
    this.#tellPhase()
  }

  #showQueued(): void {
    this.#follower.clear()
    this.#isBuilding = false
    this.#waiting = undefined
    this.#timers.after("look", FIRST_LOOK_MS, () => void this.#look())
  }

  /** Who saw it queued sees every line; who comes later reads the log so far. */
  #showRunning(before: Job | undefined): void {
    this.#isBuilding = this.#follower.lastPart !== "run" && Boolean(this.definition?.build)
    if (before?.state === "Queued") return
    void this.#follower.catchUp().then(() => {
      this.#isBuilding = this.#follower.lastPart === "build"
      this.#tellPhase()
    })
  }

  async #look(): Promise<void> {
    const { id } = this
    const { signal } = this.#life
    const status = await this.#queue.read("status", signal).catch(() => undefined)
    if (signal.aborted || this.#record?.state !== "Queued") return
    this.#waiting = readWaiting(status, id!)
    this.#timers.after("look", LOOK_MS, () => void this.#look())
  }

  /** The job left the server's list while it was active: asks how it ended. */
  async #askEnd(): Promise<void> {
    const { signal } = this.#life
    const before = this.#record
    const record = await recordOf(this.#queue, this.id!, signal)
    if (signal.aborted || this.#record !== before) return
    if (record) return this.#consider(record)
    this.#record = undefined
    this.#tellPhase()
  }

  /** Loads the result of a finished record, once at a time, for the current job alone. */
  async #load(record: Job): Promise<void> {
    if (this.#loading?.time === record.time) return
    this.#loading = record
    this.#hasNoResult = false
    const { signal } = this.#life
    const whole = record.finished?.result ? record : await this.#fetchResult(signal)
    if (signal.aborted || this.#loading !== record) return
    this.#loading = undefined
    if (whole?.finished) this.#loaded(whole)
    else this.#hasNoResult = true
    this.#tellPhase()
  }

  async #fetchResult(signal: AbortSignal): Promise<Job | undefined> {
    try {
      return await loadResult((path) => this.#queue.read(path, signal), this.id!, signal)
    } catch (error) {
      if (!signal.aborted) this.#options.problems.say("result", `The result cannot be loaded: ${sentenceOf(error)}.`)
      return undefined
    }
  }

  #loaded(record: Job): void {
    const result = record.finished!.result ?? { logs: [], isTimedOut: false, outputs: {} }
    const { id } = this
    this.#options.problems.clear("result")
    this.#submission.old = undefined
    this.#ours = record
    this.#record = record
    this.#result = result
    void this.#follower.finish(result.logs, this.log.count("build") > 0)
    if (record.finished!.result) void this.#options.database.keepResult(this.#key(id!), record)
    this.#options.onResult(id!, record)
  }

  /** Our own word on how it ended, shown at once: later than all that the server said so far. */
  #mark(reason: "Cancelled" | "Deleted"): void {
    const before = this.#record
    const time = before ? before.time + 1 : Date.now()
    this.#ours = {
      state: "Finished", finishedReason: reason, time, queuedTime: before?.queuedTime ?? time, worker: before?.worker ?? "",
      namespaces: before?.namespaces ?? [],
    }
    this.#show(this.#ours)
  }

  async #submit(isAnew: boolean): Promise<void> {
    const settled = this.#settled!
    const { signal } = this.#life
    if (!(await this.#submission.prepare(settled, signal)) || signal.aborted) return
    const old = isAnew && hasResult(this.#record) ? this.#record : undefined
    this.#ours = undefined
    void this.#options.database.forgetResult(this.#key(settled.id))
    if (!hasResult(this.#record)) this.#record = undefined
    this.#options.onSubmit(settled)
    this.#submission.hand(settled, old, signal)
    this.#tellPhase()
  }
}
