/**
 * Changes that were sent to the queue and are not confirmed yet: submissions, cancels and deletes, by job.
 *
 * The server confirms a submission by a record of the job, the others by its absence. After a reconnect the server is asked
 * first, and only what it does not know is sent again: a socket that opens and closes every second submits nothing twice.
 */
import type { ClientMessage, Job, StateChange } from "../wire.ts"

/** Most jobs with pending changes; the oldest are forgotten. */
const OWED_MAX = 100
/** After this time on an open socket without confirmation the sender is told to check. */
export const CONFIRM_MS = 3_000
/** A server that does not answer a query in this time does not support queries. */
const ANSWER_MS = 2_000

interface Owed {
  readonly changes: readonly StateChange[]
  /** A record of the job as queued at this time is the old one. */
  readonly oldQueuedTime: number | undefined
  isSent: boolean
  /** Sent on an earlier connection: the server is asked before it is sent again. */
  isAsking: boolean
  timer?: ReturnType<typeof setTimeout> | undefined
}

export interface OutboxListener {
  /** Gives false when the socket is not open. */
  send(message: ClientMessage): boolean
  /** Sent, but not confirmed in time. */
  onUnconfirmed(change: StateChange): void
}

export class Outbox {
  readonly #listener: OutboxListener
  readonly #owed = new Map<string, Owed>()

  constructor(listener: OutboxListener) {
    this.#listener = listener
  }

  /** Whether a change of this job is not confirmed. */
  has(jobId: string): boolean {
    return this.#owed.has(jobId)
  }

  /**
   * Sends changes of one job in their order, now or at the next opening. They replace the pending changes of that job. If the job
   * ran before and should run again, `old` is its earlier record.
   */
  post(changes: readonly StateChange[], old?: Job): void {
    const jobId = changes[0]!.job
    this.confirm(jobId)
    this.#owed.set(jobId, { changes, oldQueuedTime: old?.queuedTime, isSent: false, isAsking: false })
    const oldest = this.#owed.size > OWED_MAX ? this.#owed.keys().next().value : undefined
    if (oldest !== undefined) this.confirm(oldest)
    this.#send(jobId)
  }

  /** Forgets the pending changes of a job. */
  confirm(jobId: string): void {
    clearTimeout(this.#owed.get(jobId)?.timer)
    this.#owed.delete(jobId)
  }

  onOpen(): void {
    for (const [jobId, owed] of [...this.#owed]) {
      if (!owed.isSent) {
        this.#send(jobId)
        continue
      }
      owed.isAsking = this.#listener.send({ type: "QueryJob", payload: { jobId } })
      this.#watch(owed, ANSWER_MS, () => this.#send(jobId))
    }
  }

  onClose(): void {
    for (const owed of this.#owed.values()) clearTimeout(owed.timer)
  }

  onJobs(jobs: Readonly<Record<string, Job>>, isWhole: boolean): void {
    const isEmpty = Object.keys(jobs).length === 0
    for (const [jobId, owed] of [...this.#owed]) {
      const job = Object.hasOwn(jobs, jobId) ? jobs[jobId] : undefined
      // Finished jobs leave the whole list, so only the answer to a query says that they are deleted.
      const isGone = job === undefined && (isWhole || isEmpty)
      if (owed.isSent && isConfirmed(owed, job, isGone)) this.confirm(jobId)
      else if (owed.isAsking && (job !== undefined || (isGone && !isWhole))) this.#send(jobId)
    }
  }

  dispose(): void {
    for (const jobId of [...this.#owed.keys()]) this.confirm(jobId)
  }

  #send(jobId: string): void {
    const owed = this.#owed.get(jobId)
    if (!owed) return
    owed.isAsking = false
    const isSent = owed.changes.every((change) => this.#listener.send({ type: "StateChange", payload: change }))
    if (!isSent) return
    owed.isSent = true
    const last = owed.changes.at(-1)!
    // A delete is not confirmed by a message: the answer to the following query confirms it.
    if (last.state === "Finished") this.#listener.send({ type: "QueryJob", payload: { jobId } })
    this.#watch(owed, CONFIRM_MS, () => this.#listener.onUnconfirmed(last))
  }

  #watch(owed: Owed, ms: number, then: () => void): void {
    clearTimeout(owed.timer)
    owed.timer = setTimeout(then, ms)
  }
}

function isConfirmed({ changes, oldQueuedTime }: Owed, job: Job | undefined, isGone: boolean): boolean {
  if (changes.at(-1)!.state !== "Queued") return isGone || job?.state === "Finished" || job?.state === "Removed"
  return job !== undefined && job.state !== "Removed" && job.queuedTime !== oldQueuedTime
}
