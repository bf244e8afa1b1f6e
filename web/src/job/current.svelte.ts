/**
 * The one job that the page is about: what the server says of it, what is kept of it here, and what is asked for it.
 *
 * Everything belongs to one id at one queue. When either changes, all that is under way for the old one is ended by its signal.
 */
import type { CurrentJob, Phase } from "../client/client.ts"
import type { Problems } from "../client/problems.svelte.ts"
import type { Settled } from "../definition/settle.ts"
import { Uploader } from "../definition/upload.ts"
import { Lines } from "../log/lines.ts"
import type { ReadLines } from "../log/whole.ts"
import { letGo, type Queue, type QueueListener } from "../queue/queue.svelte.ts"
import { bearerOfFile } from "../queue/token.ts"
import type { Definition, Fault, Job, JobResult, LogsMessage, StateChange } from "../wire.ts"
import type { Database } from "./database.ts"
import { explain } from "./explain.ts"
import { LogFollower, readLogPage } from "./follower.ts"
import { hasResult, isActive, phaseOf } from "./phase.ts"
import { controlOf, type Terms } from "./hand.ts"
import { Known } from "./known.svelte.ts"
import type { Stage } from "./stage.ts"
import { Submission } from "./submission.svelte.ts"
import { Timers } from "./timers.ts"

/** Changes that come together are one submission, one query. */
export const SUBMIT_MS = 200
const QUERY_MS = 200
/** A server that has not answered the query for a job by then does not know queries: an automatic start goes ahead. */
export const ANSWER_MS = 1_500

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
  readonly #known: Known
  readonly log: Lines
  readonly #follower: LogFollower
  #isRunnable = $state(false)
  #settled: Settled | undefined = $state.raw(undefined)
  #isAnswered = false
  #isStarted = false
  #isStopped = false
  #life = new AbortController()
  #told: string | undefined
  readonly #timers = new Timers()

  constructor(options: CurrentOptions) {
    this.#options = options
    this.#queue = options.queue
    this.#uploader = options.uploader ?? new Uploader(undefined, (url) => bearerOfFile(url, this.#queue.base, this.#queue.token))
    this.log = options.log ?? new Lines()
    this.#follower = new LogFollower(this.log, (path, signal) => this.#queue.read(path, signal))
    this.#submission = new Submission({
      queue: this.#queue, problems: options.problems, terms: options.terms, uploader: this.#uploader,
      onChange: () => this.#tellPhase(), onRecord: (record) => this.#known.consider(record), onEnd: () => {},
    })
    this.#known = new Known({
      queue: this.#queue, problems: options.problems, database: options.database, submission: this.#submission,
      follower: this.#follower, log: this.log,
      isDue: () => this.#timers.has("submit"),
      onChange: () => this.#tellPhase(), onResult: options.onResult,
    })
    this.#queue.listener = this
  }

  get definition(): Definition | undefined { return this.#settled?.definition }
  get id(): string | undefined { return this.#settled?.id }
  get record(): Job | undefined { return this.#known.record }
  get result(): JobResult | undefined { return this.#known.result }
  get fault(): Fault | undefined { return this.record?.finished?.fault }
  get isOnServer(): boolean { return this.#known.isOnServer }
  get uploads(): Readonly<Record<string, number>> { return this.#submission.uploads }

  get phase(): Phase {
    return phaseOf({
      isRunnable: this.#isRunnable, hasQueue: this.#queue.address !== undefined, isSubmitting: this.#submission.isUnderWay,
      isUploading: this.#submission.isUploading, record: this.record, result: this.#submission.old ? undefined : this.result,
      hasNoResult: this.#known.hasNoResult, isBuilding: this.#known.stage !== undefined,
    })
  }

  readonly readLines: ReadLines = async (part, since, signal) => this.id === undefined ? undefined
    : readLogPage((path, aborted) => this.#queue.read(path, aborted), this.id, part, since, signal)

  get explanation(): string {
    return explain({
      phase: this.phase, connection: this.#queue.connection, record: this.record, result: this.result,
      waiting: this.#known.waiting,
      nWorkers: this.#queue.workers.length, nUploads: Object.keys(this.uploads).length,
      isWaiting: this.#submission.isWaiting, hasNoResult: this.#known.hasNoResult,
      stage: this.#known.stage, definition: this.definition,
    })
  }

  get stage(): Stage | undefined {
    return this.phase === "building" ? this.#known.stage : undefined
  }

  get since(): number | undefined {
    if (this.#submission.isUnderWay) return this.#submission.since
    return this.record?.state === "Queued" ? this.record.queuedTime : this.record?.time
  }

  get startedAt(): number | undefined {
    const record = this.record
    if (record?.state === "Running") return record.time
    const duration = this.result?.duration
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
    this.#known.forget()
    this.#isAnswered = this.#isStarted = this.#isStopped = false
    this.#submission.forget()
    const id = this.id
    this.#known.follow(id ?? "", this.#life.signal)
    this.#follower.clear()
    if (id !== undefined && this.#queue.address) {
      void this.#known.recall()
      this.#known.consider(this.#queue.jobOf(id))
      this.#timers.after("query", QUERY_MS, () => this.#query())
    }
    this.#tellPhase()
  }

  // What the socket says.

  onOpen(): void {
    this.#isAnswered = false
    this.#query()
    if (this.record?.state === "Running") void this.#follower.catchUp()
  }

  onClose(): void {
    this.#isAnswered = false
    this.#timers.end("answer")
  }

  onJobs(jobs: Readonly<Record<string, Job>>, isWhole: boolean): void {
    const id = this.id
    if (id === undefined) return
    const record = Object.hasOwn(jobs, id) ? jobs[id] : undefined
    this.#known.tell(record, isWhole)
    if (record || (!isWhole && Object.keys(jobs).length === 0)) this.#answered()
  }

  onLogs(logs: LogsMessage): void {
    this.#known.takeLogs(logs)
  }

  onVanished(jobId: string): void {
    if (jobId === this.id && !this.#submission.isUnderWay) void this.#known.vanished()
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
    const hasEnded = hasResult(this.record) && !this.#submission.isUnderWay
    if (id === undefined || hasEnded) return
    this.#timers.end("submit")
    this.#life.abort()
    this.#life = new AbortController()
    this.#known.follow(id, this.#life.signal)
    this.#isStopped = true
    this.giveUp()
    this.#queue.outbox.post([letGo(id, "Cancelled", this.#namespace)])
    this.#known.mark("Cancelled")
  }

  /** Throws the result away, here and on the server. */
  clear(): void {
    const id = this.id
    if (id === undefined || !this.#queue.address) return
    this.#queue.outbox.post([letGo(id, "Deleted", this.#namespace)])
    this.#isStopped = true
    this.giveUp()
    this.#known.mark("Deleted")
  }

  /** Looks whether the job is to start by itself. Called when the parameter changes too. */
  autostart(): void {
    const record = this.record
    const isWanted = this.#options.isAutostart() && this.#settled !== undefined && !this.#isStarted && !this.#isStopped
    const isKnown = record !== undefined && (isActive(record) || hasResult(record))
    if (isWanted && this.#isAnswered && this.#queue.connection === "open" && !isKnown) this.run()
  }

  /** Sends what was dropped onto the page before a run is asked for. Gives whether the server has all of it. */
  async uploadEarly(names: ReadonlySet<string>): Promise<boolean> {
    const uploads = this.#settled?.uploads.filter((upload) => names.has(upload.name) && !this.#uploader.isKnown(upload)) ?? []
    return uploads.length === 0 || this.#submission.store(uploads, this.#life.signal)
  }

  dispose(): void {
    this.#life.abort()
    this.#known.dispose()
    this.#timers.endAll()
  }

  get #namespace(): string {
    return controlOf(this.#options.terms(), undefined).namespace ?? "_"
  }

  #tellPhase(): void {
    const { phase, id } = this
    const told = `${phase} ${id}`
    if (told === this.#told) return
    this.#told = told
    this.#options.onPhase(phase)
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

  async #submit(isAnew: boolean): Promise<void> {
    const settled = this.#settled!
    const { signal } = this.#life
    if (!(await this.#submission.prepare(settled, signal)) || signal.aborted) return
    const old = isAnew && hasResult(this.record) ? this.record : undefined
    this.#known.makeWay()
    this.#options.onSubmit(settled)
    this.#submission.hand(settled, old, signal)
    this.#tellPhase()
  }
}
