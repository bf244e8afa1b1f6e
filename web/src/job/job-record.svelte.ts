/**
 * What is known about the current job: the server's record, its result, its position in the queue. `follow` switches to another
 * job; the signal of the earlier call ends all work for the earlier job.
 *
 * The page can show one of its own records in place of the server's: the result that this browser stored, or the end that the user
 * asked for.
 */
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import { sha256Hex } from "../definition/sha256.ts"
import type { Lines } from "../log/lines.ts"
import type { Queue } from "../queue/queue.svelte.ts"
import type { Job, JobResult, LogsMessage } from "../wire.ts"
import type { Database } from "./database.ts"
import { readWaiting, type Waiting } from "./explain.ts"
import type { LogFollower } from "./follower.ts"
import { omittedLines, loadResult } from "./load.ts"
import { hasResult, isActive, isLive } from "./phase.ts"
import type { Stage } from "./stage.ts"
import type { Submission } from "./submission.svelte.ts"
import { Timers } from "./timers.ts"

/** Pause between checks of the job's position in the queue; the first one comes sooner. */
const LOOK_MS = 4_000
const FIRST_LOOK_MS = 300
/** After this time without build output, a commit whose image exists counts as running. */
const QUIET_MS = 15_000
/** The time of submission of a run that the server has not shown yet. */
const UNKNOWN = -1

export interface JobRecordOptions {
  readonly queue: Queue
  readonly problems: Problems
  readonly database: Database
  readonly submission: Submission
  readonly follower: LogFollower
  readonly log: Lines
  /** Called when something changed on which the phase depends. */
  readonly onChange: () => void
  /** Called when the result of the job was loaded. */
  readonly onResult: (id: string, record: Job) => void
}

export class JobRecord {
  readonly #options: JobRecordOptions
  record: Job | undefined = $state.raw(undefined)
  result: JobResult | undefined = $state.raw(undefined)
  waiting: Waiting | undefined = $state.raw(undefined)
  hasNoResult = $state(false)
  /** Whether the server sent the job, or this browser has stored its result. */
  isOnServer = $state(false)
  /** The progress of the image; undefined when it is ready. */
  stage: Stage | undefined = $state.raw(undefined)
  /** The result that this browser has stored. */
  #kept: Job | undefined
  /** The end that the user asked for, which the server may not know yet. */
  #mark: Job | undefined
  #loading: Job | undefined
  #id = ""
  #signal: AbortSignal = AbortSignal.abort()
  readonly #timers = new Timers()

  constructor(options: JobRecordOptions) {
    this.#options = options
  }

  /** Switches to a job until the signal fires. It keeps what is known; a stopped job needs that. */
  follow(id: string, signal: AbortSignal): void {
    this.#id = id
    this.#signal = signal
    this.#loading = undefined
    this.#options.follower.follow(id, signal)
  }

  /** Forgets everything here. The server and the database keep their data. */
  forget(): void {
    this.#timers.endAll()
    this.record = this.result = this.waiting = this.#kept = this.#mark = this.#loading = undefined
    this.stage = undefined
    this.hasNoResult = this.isOnServer = false
  }

  /** Prepares for a new run: an old result stays visible, but this browser no longer stores it. */
  makeWay(): void {
    this.#mark = undefined
    this.forgetKept()
    if (!hasResult(this.record)) this.record = undefined
  }

  /** Deletes the result that this browser stores. */
  forgetKept(): void {
    this.#kept = undefined
    void this.#options.database.forgetResult(this.#key)
  }

  /** Takes the job's record from a list of the server; undefined if the list does not contain it. `isWhole`: the list is complete. */
  tell(record: Job | undefined, isWhole: boolean): void {
    if (record) this.consider(record)
    else if (isWhole && isActive(this.record) && !this.#options.queue.isChanging(this.#id)) void this.#askEnd()
  }

  /** Takes lines of the log while the job is active. */
  takeLogs(logs: LogsMessage): void {
    const { follower } = this.#options
    if (logs.jobId !== this.#id || !isLive(this.record) || !follower.take(logs)) return
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

  /** Loads what this browser stored about the job. */
  async recall(): Promise<void> {
    const id = this.#id
    const signal = this.#signal
    const kept = await this.#options.database.result(this.#key)
    if (signal.aborted || !kept || this.#mark || hasResult(this.record) || this.#options.submission.isUnderWay) return
    this.#kept = kept
    this.consider(this.#options.queue.jobOf(id))
  }

  /** Shows the server's record, or one of the page's own in its place. */
  consider(server: Job | undefined): void {
    if (server || this.#kept) this.isOnServer = true
    // While another run is requested, the record of the earlier run is not shown.
    const isEarlier = server?.state === "Finished" && server.queuedTime === this.#options.submission.old?.queuedTime
    if (isEarlier) return
    if (server && this.#mark && !isHidden(server, this.#mark)) this.#mark = undefined
    if (server && this.#kept && isOutdated(this.#kept, server)) this.#kept = undefined
    const record = this.#mark ?? this.#kept ?? server
    if (!record) return
    const isSeen = server !== undefined && this.#options.submission.see(server)
    this.#show(record)
    // If the server's record shows the requested run, the phase changes even if the shown record stays the same.
    if (isSeen) this.#options.onChange()
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

  /** A page that saw the job waiting gets every line from the feed. A page that opens later reads the log so far. */
  #showRunning(before: Job | undefined): void {
    if (before?.state === "Queued") return
    // This is another run of the job, and this page did not see it waiting: the lines here are of the earlier run.
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

  /** Asks the server how the job ended: it was active, and is not in the server's list any more. */
  async #askEnd(): Promise<void> {
    const signal = this.#signal
    const before = this.record
    const record = await this.#options.queue.readJob(this.#id, signal)
    if (record || signal.aborted || this.record !== before) return
    // If the server does not answer with a record, a result stays visible.
    if (hasResult(before)) return
    this.record = undefined
    this.#options.onChange()
  }

  /** Called when the job was cancelled or its result removed. If a result is shown, asks the server whether it still exists. */
  async vanished(): Promise<void> {
    if (hasResult(this.record)) await this.#askEnd()
  }

  /** Loads the result of a finished record, one at a time, for the current job only. */
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
    this.#kept = record
    this.record = record
    this.result = result
    // If the job ended during the pull or the build, its output is in the build's log, which is read as a whole.
    const isOfBuild = result.logsOf === "build"
    const [run, nOmitted] = isOfBuild ? [[], 0] : [result.logs, omittedLines(result)]
    void this.#options.follower.finish(run, nOmitted, this.#options.log.count("build") > 0)
    if (record.finished!.result) void this.#options.database.keepResult(this.#key, record)
    this.#options.onResult(id, record)
  }

  /** Shows at once the end that the user asked for. */
  mark(reason: "Cancelled" | "Deleted"): void {
    const { queuedTime = UNKNOWN, worker = "", namespaces = [] } = this.record ?? {}
    const ofRun = this.#options.submission.isUnderWay ? UNKNOWN : queuedTime
    this.#mark = { state: "Finished", finishedReason: reason, time: Date.now(), queuedTime: ofRun, worker, namespaces }
    this.#kept = undefined
    this.#show(this.#mark)
  }

  /** The server has done what the user asked for. If the page did not know the run, it now accepts the server's record of its end. */
  settle(): void {
    if (this.#mark?.queuedTime === UNKNOWN) this.#mark = { ...this.#mark, queuedTime: 0 }
  }

  /** The server did not accept what the user asked for, so its own record is shown again. */
  unmark(): void {
    if (!this.#mark) return
    this.record = this.#mark = undefined
    this.consider(this.#options.queue.jobOf(this.#id))
    this.#options.onChange()
  }
}

/** Whether the end that the user asked for is shown in place of the server's record of the same run, which lacks this end. */
function isHidden(server: Job, mark: Job): boolean {
  const isSameRun = mark.queuedTime === UNKNOWN || server.queuedTime <= mark.queuedTime
  return isSameRun && (isActive(server) || (mark.finishedReason === "Deleted" && hasResult(server)))
}

/** Whether the server's present record is newer than the stored result, or has another end. */
function isOutdated(kept: Job, server: Job): boolean {
  if (server.queuedTime !== kept.queuedTime) return server.queuedTime > kept.queuedTime
  return !isActive(server) && server.finishedReason !== kept.finishedReason
}
