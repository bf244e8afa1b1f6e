/**
 * The current job of the page: the server's data, the data stored here, and the user's requests.
 *
 * Everything here belongs to one id in one queue. When either changes, the signal of the old one ends all work for it.
 */
import type { CurrentJob, Phase } from "../client/client.ts"
import type { Problems } from "../client/problems.svelte.ts"
import type { ResolvedDefinition } from "../definition/resolve.ts"
import { Uploader } from "../definition/upload.ts"
import { Lines } from "../log/lines.ts"
import type { ReadLines } from "../log/whole.ts"
import type { Queue, QueueListener } from "../queue/queue.svelte.ts"
import { bearerOfFile } from "../queue/token.ts"
import type { Definition, Fault, Job, JobResult, LogsMessage } from "../wire.ts"
import type { Database } from "./database.ts"
import { explain } from "./explain.ts"
import { LogFollower, readLogPage } from "./follower.ts"
import { hasResult, isActive, phaseOf } from "./phase.ts"
import { namespaceOf, type Terms } from "./submit.ts"
import { JobRecord } from "./job-record.svelte.ts"
import type { Stage } from "./stage.ts"
import { Submission } from "./submission.svelte.ts"
import { Timers } from "./timers.ts"

/** Changes within this time cause one submission, and one query. */
export const SUBMIT_MS = 200
const QUERY_MS = 200
/** A server that has not answered the query for a job after this time does not support queries; an automatic start goes ahead. */
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
  readonly onSubmit: (resolved: ResolvedDefinition) => void
  readonly uploader?: Uploader
  readonly log?: Lines
}

export class Current implements CurrentJob, QueueListener {
  readonly #options: CurrentOptions
  readonly #queue: Queue
  readonly #uploader: Uploader
  readonly #submission: Submission
  readonly #jobRecord: JobRecord
  readonly log: Lines
  readonly #follower: LogFollower
  #isRunnable = $state(false)
  #resolved: ResolvedDefinition | undefined = $state.raw(undefined)
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
      onChange: () => this.#tellPhase(),
    })
    this.#jobRecord = new JobRecord({
      queue: this.#queue, problems: options.problems, database: options.database, submission: this.#submission,
      follower: this.#follower, log: this.log,
      onChange: () => this.#tellPhase(), onResult: options.onResult,
    })
    this.#queue.listener = this
  }

  get definition(): Definition | undefined { return this.#resolved?.definition }
  get id(): string | undefined { return this.#resolved?.id }
  get record(): Job | undefined { return this.#jobRecord.record }
  get result(): JobResult | undefined { return this.#jobRecord.result }
  get fault(): Fault | undefined { return this.record?.finished?.fault }
  get isOnServer(): boolean { return this.#jobRecord.isOnServer }
  get uploads(): Readonly<Record<string, number>> { return this.#submission.uploads }

  get phase(): Phase {
    return phaseOf({
      isRunnable: this.#isRunnable, hasQueue: this.#queue.address !== undefined, isSubmitting: this.#submission.isUnderWay,
      isUploading: this.#submission.isUploading, record: this.record, result: this.#submission.old ? undefined : this.result,
      hasNoResult: this.#jobRecord.hasNoResult, isBuilding: this.#jobRecord.stage !== undefined,
    })
  }

  readonly readLines: ReadLines = async (part, since, signal) => this.id === undefined ? undefined
    : readLogPage((path, aborted) => this.#queue.read(path, aborted), this.id, part, since, signal)

  get explanation(): string {
    return explain({
      phase: this.phase, connection: this.#queue.connection, record: this.record, result: this.result,
      waiting: this.#jobRecord.waiting,
      nWorkers: this.#queue.workers.length, nUploads: Object.keys(this.uploads).length,
      isWaiting: this.#submission.isWaiting, isRetrying: this.#submission.isRetrying, hasNoResult: this.#jobRecord.hasNoResult,
      stage: this.#jobRecord.stage, definition: this.definition,
    })
  }

  get stage(): Stage | undefined {
    return this.phase === "building" ? this.#jobRecord.stage : undefined
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

  /** Whether there is something to run, before its id is known. */
  setRunnable(isRunnable: boolean): void {
    this.#isRunnable = isRunnable
    if (!isRunnable) this.setResolved(undefined)
    this.#tellPhase()
  }

  /** Sets the current job. With the same id everything known about it is kept. */
  setResolved(resolved: ResolvedDefinition | undefined): void {
    const isSame = resolved?.id === this.#resolved?.id
    this.#resolved = resolved
    if (!isSame) this.restart()
  }

  /** Forgets what is known about the job, and asks the server again, because the id or the queue changed. */
  restart(): void {
    this.#life.abort()
    this.#life = new AbortController()
    this.#timers.endAll()
    this.#jobRecord.forget()
    this.#isAnswered = this.#isStarted = this.#isStopped = false
    this.#submission.forget()
    const id = this.id
    this.#jobRecord.follow(id ?? "", this.#life.signal)
    this.#follower.clear()
    if (id !== undefined && this.#queue.address) {
      void this.#jobRecord.recall()
      this.#jobRecord.consider(this.#queue.jobOf(id))
      this.#timers.after("query", QUERY_MS, () => this.#query())
    }
    this.#tellPhase()
  }

  // News of the feed.

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
    this.#jobRecord.tell(record, isWhole)
    if (record || (!isWhole && Object.keys(jobs).length === 0)) this.#answered()
  }

  onLogs(logs: LogsMessage): void {
    this.#jobRecord.takeLogs(logs)
  }

  onVanished(jobId: string): void {
    if (jobId === this.id && !this.#submission.isUnderWay) void this.#jobRecord.vanished()
  }

  // Requests of the user.

  /** Shows at once that a run was requested; `run` or `giveUp` follows. */
  prepare(): void {
    this.#submission.begin()
  }

  giveUp(): void {
    this.#submission.end()
  }

  /** Submits the job. With `isAgain` it runs even if it has a result; the page shows the old result until the new one comes. */
  run(isAgain = false): void {
    const resolved = this.#resolved
    if (!resolved || !this.#queue.address) return this.giveUp()
    this.prepare()
    this.#isStarted = true
    this.#isStopped = false
    this.#timers.after("submit", SUBMIT_MS, () => void this.#submit(isAgain))
  }

  /** Stops the job, and shows this at once. A submission that is not sent yet is never sent. */
  stop(): void {
    const id = this.id
    const hasEnded = hasResult(this.record) && !this.#submission.isUnderWay
    if (id === undefined || hasEnded) return
    this.#life.abort()
    this.#life = new AbortController()
    this.#jobRecord.follow(id, this.#life.signal)
    void this.#end(id, "cancel")
  }

  /** Removes the result, here and on the server. */
  clear(): void {
    const id = this.id
    if (id !== undefined && this.#queue.address) void this.#end(id, "clear")
  }

  /** Shows at once that the job is cancelled or its result removed, and sends this until the server acknowledges it. */
  async #end(id: string, how: "cancel" | "clear"): Promise<void> {
    const { signal } = this.#life
    this.#timers.end("submit")
    this.#isStopped = true
    this.#jobRecord.mark(how === "clear" ? "Deleted" : "Cancelled")
    this.giveUp()
    const outcome = await this.#queue.end(id, how, namespaceOf(this.#options.terms()))
    if (signal.aborted) return
    if ("why" in outcome) {
      this.#options.problems.say(how, `The ${how === "clear" ? "removal of the result" : "stop"} was not sent: ${outcome.why}.`)
      return this.#jobRecord.unmark()
    }
    this.#options.problems.clear(how)
    this.#jobRecord.settle()
    this.#query()
  }

  /** Checks whether the job should start automatically. Also called when the parameter changes. */
  autostart(): void {
    const record = this.record
    // A job that the server had before does not start automatically after it is cancelled, replaced or cleared elsewhere.
    if (isActive(record) || hasResult(record)) this.#isStarted = true
    const isWanted = this.#options.isAutostart() && this.#resolved !== undefined && !this.#isStarted && !this.#isStopped
    if (isWanted && this.#isAnswered && this.#queue.connection === "open") this.run()
  }

  /** Uploads dropped files before a run is requested. Returns whether the server has all of them. */
  async uploadEarly(names: ReadonlySet<string>): Promise<boolean> {
    const uploads = this.#resolved?.uploads.filter((upload) => names.has(upload.name) && !this.#uploader.isKnown(upload)) ?? []
    return uploads.length === 0 || this.#submission.store(uploads, this.#life.signal)
  }

  dispose(): void {
    this.#life.abort()
    this.#jobRecord.dispose()
    this.#timers.endAll()
  }

  #tellPhase(): void {
    const { phase, id } = this
    const told = `${phase} ${id}`
    if (told === this.#told) return
    this.#told = told
    this.#options.onPhase(phase)
  }

  #query(): void {
    if (this.id === undefined || !this.#queue.query(this.id)) return
    if (!this.#isAnswered) this.#timers.after("answer", ANSWER_MS, () => this.#answered())
  }

  #answered(): void {
    this.#timers.end("answer")
    this.#isAnswered = true
    this.autostart()
  }

  async #submit(isAgain: boolean): Promise<void> {
    const resolved = this.#resolved!
    const { signal } = this.#life
    if (!(await this.#submission.prepare(resolved, signal)) || signal.aborted) return
    const before = this.record
    this.#jobRecord.makeWay()
    this.#options.onSubmit(resolved)
    void this.#submission.submit(resolved, before, isAgain && hasResult(before), signal)
    this.#tellPhase()
  }
}
