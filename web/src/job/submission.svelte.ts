/**
 * The submission of one job: its uploads are stored first, then it is sent, until the server confirms it.
 *
 * At most one is in progress; the signal of its start ends it.
 */
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import type { ResolvedDefinition, Upload } from "../definition/resolve.ts"
import { type Progress, Uploader } from "../definition/upload.ts"
import type { Queue } from "../queue/queue.svelte.ts"
import type { EnqueueJob, Job } from "../wire.ts"
import { confirm, controlOf, removeOldRecord, submissionOf, submit, takesAgain, type Terms } from "./submit.ts"

const KEPT = "The server kept the old result, so the job did not run again."

export interface SubmissionOptions {
  readonly queue: Queue
  readonly problems: Problems
  readonly terms: () => Terms
  readonly uploader: Uploader
  readonly onChange: () => void
  /** A request returned the job's state. */
  readonly onRecord: (record: Job) => void
  /** It ended: it was refused, or an upload failed. */
  readonly onEnd: () => void
}

export class Submission {
  readonly #options: SubmissionOptions
  /** Requested and not confirmed. */
  isUnderWay = $state(false)
  isUploading = $state(false)
  uploads: Readonly<Record<string, number>> = $state.raw({})
  /** Whether an upload waits for the connection. */
  isWaiting = $state(false)
  since: number | undefined = $state.raw(undefined)
  /** The record of the earlier run, while a new run is requested. */
  old: Job | undefined

  constructor(options: SubmissionOptions) {
    this.#options = options
  }

  /** Shows at once that a run was requested. */
  begin(): void {
    this.isUnderWay = true
    this.since = Date.now()
    this.#options.onChange()
  }

  /** Nothing is requested any more. */
  end(): void {
    this.isUnderWay = this.isUploading = this.isWaiting = false
    this.old = undefined
    this.#options.onChange()
  }

  /** The server has the job. */
  confirmed(): void {
    this.isUnderWay = false
    this.#options.problems.clear("submit")
  }

  /** Forgets the uploads that were shown: they belong to another job. */
  forget(): void {
    this.uploads = {}
    this.end()
    this.#options.problems.clear("submit")
  }

  /** Stores missing uploads of the job. Returns whether all of them are stored. */
  async prepare(resolved: ResolvedDefinition, signal: AbortSignal): Promise<boolean> {
    const missing = resolved.uploads.filter((upload) => !this.#options.uploader.isKnown(upload))
    if (missing.length === 0) return true
    const isDone = await this.store(missing, signal)
    if (!isDone && !signal.aborted) this.#give("")
    return isDone
  }

  /** Sends the job. With `old`, its present record, the job runs again. */
  submit(resolved: ResolvedDefinition, old: Job | undefined, signal: AbortSignal): void {
    const { queue, terms } = this.#options
    const change = submissionOf(resolved, terms(), takesAgain(old))
    this.old = old
    const namespace = controlOf(terms(), undefined).namespace ?? "_"
    if (!submit(queue, change, old, namespace)) void this.#request(change.value.enqueued!, old, namespace, signal)
  }

  /** Submits only by request; an old record is removed first. */
  async #request(job: EnqueueJob, old: Job | undefined, namespace: string, signal: AbortSignal): Promise<void> {
    const { queue, problems } = this.#options
    const mayPost = !old || takesAgain(old) || (await removeOldRecord(queue, job.id!, old, namespace, signal))
    if (signal.aborted) return
    if (mayPost) return this.confirm(job, signal)
    problems.say("submit", KEPT)
    this.#give(job.id!)
  }

  /** Submits by request a job that the socket did not confirm. */
  async confirm(job: EnqueueJob, signal: AbortSignal): Promise<void> {
    const { queue, problems } = this.#options
    const outcome = await confirm(queue, job, this.old, problems, signal)
    if (signal.aborted || outcome.is === "given-up") return
    if (outcome.is === "refused") {
      problems.say("submit", `The queue refuses the job: ${outcome.why}.`)
      this.#give(job.id!)
    } else if (this.old && outcome.record?.queuedTime === this.old.queuedTime) {
      problems.say("submit", KEPT)
      this.#give(job.id!)
    } else if (outcome.record) {
      queue.outbox.confirm(job.id!)
      this.#options.onRecord(outcome.record)
    }
  }

  /** Stores bytes, and shows the progress. Returns false if some failed, which is reported, or the signal fired. */
  async store(uploads: readonly Upload[], signal: AbortSignal): Promise<boolean> {
    if (!this.#options.queue.mayChange) return false
    this.isUploading = this.isUnderWay
    this.isWaiting = false
    this.uploads = { ...this.uploads, ...Object.fromEntries(uploads.map(({ name }) => [name, 0])) }
    this.#options.onChange()
    const outcomes = await Promise.all(uploads.map((upload) => this.#store(upload, signal)))
    if (signal.aborted) return false
    const names = new Set(uploads.map(({ name }) => name))
    this.uploads = Object.fromEntries(Object.entries(this.uploads).filter(([name]) => !names.has(name)))
    this.isUploading = this.isWaiting = false
    this.#options.onChange()
    return outcomes.every(Boolean)
  }

  async #store(upload: Upload, signal: AbortSignal): Promise<boolean> {
    const { uploader, problems } = this.#options
    const { name } = upload
    const onShare = (progress: Progress): void => {
      if (signal.aborted) return
      this.isWaiting = progress === "waiting"
      this.uploads = { ...this.uploads, [name]: progress === "waiting" ? 0 : progress }
    }
    try {
      await uploader.upload(upload, onShare, signal)
      problems.clear(`upload:${name}`)
      return true
    } catch (error) {
      if (!signal.aborted) problems.say(`upload:${name}`, `The input ${name} was not sent: ${sentenceOf(error)}.`,
        "Press Run to try again.")
      return false
    }
  }

  #give(id: string): void {
    if (id !== "") this.#options.queue.outbox.confirm(id)
    this.end()
    this.#options.onEnd()
  }
}
