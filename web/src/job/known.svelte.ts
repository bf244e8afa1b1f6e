/**
 * What is known of the current job: the server's record and ours, its result, its place in the queue. It turns to another job
 * with `follow`; whatever was under way for the job of before is ended by the signal of then.
 */
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import { sha256Hex } from "../definition/sha256.ts"
import type { Lines } from "../log/lines.ts"
import type { Queue } from "../queue/queue.svelte.ts"
import { winner } from "../queue/winner.ts"
import type { Job, JobResult, LogsMessage } from "../wire.ts"
import type { Database } from "./database.ts"
import { readWaiting, type Waiting } from "./explain.ts"
import type { LogFollower } from "./follower.ts"
import { recordOf } from "./hand.ts"
import { omittedLines, loadResult } from "./load.ts"
import { hasResult, isActive } from "./phase.ts"
import type { Stage } from "./stage.ts"
import type { Submission } from "./submission.svelte.ts"
import { Timers } from "./timers.ts"

/** Between looks at the job's place in the queue; the first comes sooner. */
const LOOK_MS = 4_000
const FIRST_LOOK_MS = 300
/** A commit whose image is there already runs without a further word. */
const QUIET_MS = 15_000

export interface KnownOptions {
  readonly queue: Queue
  readonly problems: Problems
  readonly database: Database
  readonly submission: Submission
  readonly follower: LogFollower
  readonly log: Lines
  /** Whether a submission was asked for and is not handed over yet. */
  readonly isDue: () => boolean
  /** Something changed that the phase depends on. */
  readonly onChange: () => void
  /** The result of the job was loaded. */
  readonly onResult: (id: string, record: Job) => void
}

export class Known {
  readonly #options: KnownOptions
  record: Job | undefined = $state.raw(undefined)
  result: JobResult | undefined = $state.raw(undefined)
  waiting: Waiting | undefined = $state.raw(undefined)
  hasNoResult = $state(false)
  /** Whether the server told of the job, or gave the result that is kept of it here. */
  isOnServer = $state(false)
  /** How far the image is; undefined as soon as it is there. */
  stage: Stage | undefined = $state.raw(undefined)
  /** Our own record: of the database, or of a cancel that the server need not know yet. */
  #ours: Job | undefined
  #loading: Job | undefined
  #id = ""
  #signal: AbortSignal = AbortSignal.abort()
  readonly #timers = new Timers()

  constructor(options: KnownOptions) {
    this.#options = options
  }

  /** Turns to a job until the signal fires. What is known stays, as it does for a job that is stopped. */
  follow(id: string, signal: AbortSignal): void {
    this.#id = id
    this.#signal = signal
    this.#loading = undefined
    this.#options.follower.follow(id, signal)
  }

  /** Forgets all, here alone. */
  forget(): void {
    this.#timers.endAll()
    this.record = this.result = this.waiting = this.#ours = this.#loading = undefined
    this.stage = undefined
    this.hasNoResult = this.isOnServer = false
  }

  /** Makes way for a new run: an old result stays in view, though it is kept no longer. */
  makeWay(): void {
    this.#ours = undefined
    this.forgetKept()
    if (!hasResult(this.record)) this.record = undefined
  }

  /** Forgets the result that this browser keeps. */
  forgetKept(): void {
    void this.#options.database.forgetResult(this.#key)
  }

  /** Takes what a list of the server, whole or not, says of the job: its record, or none. */
  tell(record: Job | undefined, isWhole: boolean): void {
    if (!record && this.#ours?.finishedReason === "Deleted") this.#ours = undefined
    if (record) this.consider(record)
    else if (isWhole && isActive(this.record) && !this.#options.queue.outbox.has(this.#id)) void this.#askEnd()
  }

  /** Takes lines of the log while the job is under way. */
  takeLogs(logs: LogsMessage): void {
    const { follower } = this.#options
    const isLive = this.record?.state === "Running" || this.record?.state === "Queued"
    if (logs.jobId !== this.#id || !isLive || !follower.take(logs)) return
    this.#showStage()
    this.#options.onChange()
  }

  #showStage(): void {
    const { stages } = this.#options.follower
    this.stage = stages.stage
    this.#timers.end("stage")
    if (!stages.mayBeOver) return
    this.#timers.after("stage", Math.min(QUIET_MS, stages.time + QUIET_MS - Date.now()), () => {
      this.stage = undefined
      this.#options.onChange()
    })
  }

  dispose(): void {
    this.#timers.endAll()
  }

  get #key(): string {
    return sha256Hex(new TextEncoder().encode(`${this.#options.queue.address?.url} ${this.#id}`))
  }

  /** Takes up what this browser kept of the job. */
  async recall(): Promise<void> {
    const id = this.#id
    const signal = this.#signal
    const kept = await this.#options.database.result(this.#key)
    if (signal.aborted || !kept || this.#ours || this.#options.submission.isUnderWay) return
    this.#ours = kept
    this.consider(this.#options.queue.jobOf(id))
  }

  /** Puts the server's record and ours together, and shows what counts. */
  consider(server: Job | undefined): void {
    const { old, isUnderWay, isUploading } = this.#options.submission
    if (server || hasResult(this.#ours)) this.isOnServer = true
    if (server && server.state === "Finished" && server.queuedTime === old?.queuedTime) return
    // Submitted anew since, such as in another tab: what is kept here is of the run before.
    if (server && this.#ours && server.queuedTime > this.#ours.queuedTime) this.#ours = undefined
    const record = server && this.#ours ? winner(server, this.#ours) : (server ?? this.#ours)
    if (!record) return
    // Of two equal records ours wins; the server's says all the same that it knows the job.
    const isKnown = server !== undefined && (record === server || hasResult(server))
    const isConfirmed = isKnown && isUnderWay && !isUploading && !this.#options.isDue()
    if (isConfirmed) this.#options.submission.confirmed()
    this.#show(record)
    // A record that is shown already, such as of a result that the server had, is news all the same.
    if (isConfirmed) this.#options.onChange()
  }

  #show(record: Job): void {
    const before = this.record
    const isSame = before?.state === record.state && before.time === record.time
      && before.finishedReason === record.finishedReason
    if (isSame && !(record.finished?.result && !before.finished?.result)) return
    this.record = record
    if (record.finishedReason === "Deleted") this.#dropResult()
    if (record.state === "Queued") this.#showQueued()
    else this.#timers.end("look")
    if (record.state === "Running") this.#showRunning(before)
    if (hasResult(record)) void this.#load(record)
    this.#options.onChange()
  }

  #dropResult(): void {
    this.forgetKept()
    this.result = undefined
    this.#options.follower.clear()
  }

  #showQueued(): void {
    this.#options.follower.clear()
    this.#showStage()
    this.waiting = undefined
    this.#timers.after("look", FIRST_LOOK_MS, () => void this.#look())
  }

  /** Who saw it queued sees every line; who comes later reads the log so far. */
  #showRunning(before: Job | undefined): void {
    if (before?.state === "Queued") return
    // Another run of the job, which nobody saw waiting.
    if (before && before.queuedTime !== this.record?.queuedTime) this.#options.follower.clear()
    void this.#options.follower.catchUp().then(() => {
      this.#showStage()
      this.#options.onChange()
    })
  }

  async #look(): Promise<void> {
    const id = this.#id
    const signal = this.#signal
    const status = await this.#options.queue.read("status", signal).catch(() => undefined)
    if (signal.aborted || this.record?.state !== "Queued") return
    this.waiting = readWaiting(status, id)
    this.#timers.after("look", LOOK_MS, () => void this.#look())
  }

  /** The job left the server's list while it was active: asks how it ended. */
  async #askEnd(): Promise<void> {
    const signal = this.#signal
    const before = this.record
    const record = await recordOf(this.#options.queue, this.#id, signal)
    if (signal.aborted || this.record !== before) return
    if (record) return this.consider(record)
    // A result stays in view where the server does not say.
    if (hasResult(before)) return
    this.record = undefined
    this.#options.onChange()
  }

  /** Somebody let go of the job. Whether a result that is shown here is thrown away is in the server's record. */
  async vanished(): Promise<void> {
    if (hasResult(this.record)) await this.#askEnd()
  }

  /** Loads the result of a finished record, once at a time, for the current job alone. */
  async #load(record: Job): Promise<void> {
    if (this.#loading?.time === record.time) return
    this.#loading = record
    this.hasNoResult = false
    const signal = this.#signal
    const whole = record.finished?.result ? record : await this.#fetchResult(signal)
    if (signal.aborted || this.#loading !== record) return
    this.#loading = undefined
    if (whole?.finished) this.#loaded(whole)
    else this.hasNoResult = true
    this.#options.onChange()
  }

  async #fetchResult(signal: AbortSignal): Promise<Job | undefined> {
    try {
      return await loadResult((path) => this.#options.queue.read(path, signal), this.#id, signal)
    } catch (error) {
      if (!signal.aborted) this.#options.problems.say("result", `The result cannot be loaded: ${sentenceOf(error)}.`)
      return undefined
    }
  }

  #loaded(record: Job): void {
    const result = record.finished!.result ?? { logs: [], isTimedOut: false, outputs: {} }
    const id = this.#id
    this.#options.problems.clear("result")
    this.#options.submission.old = undefined
    this.#ours = record
    this.record = record
    this.result = result
    // What pull or build said is in the build's log, which is read as a whole.
    const isOfBuild = result.logsOf === "build"
    const [run, nOmitted] = isOfBuild ? [[], 0] : [result.logs, omittedLines(result)]
    void this.#options.follower.finish(run, nOmitted, this.#options.log.count("build") > 0)
    if (record.finished!.result) void this.#options.database.keepResult(this.#key, record)
    this.#options.onResult(id, record)
  }

  /** Our own word on how it ended, shown at once: later than all that the server said so far. */
  mark(reason: "Cancelled" | "Deleted"): void {
    const before = this.record
    const time = before ? before.time + 1 : Date.now()
    this.#ours = {
      state: "Finished", finishedReason: reason, time, queuedTime: before?.queuedTime ?? time, worker: before?.worker ?? "",
      namespaces: before?.namespaces ?? [],
    }
    this.#show(this.#ours)
  }
}
