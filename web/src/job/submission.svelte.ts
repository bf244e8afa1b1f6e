/**
 * The submission of one job: its uploads are stored first, then it is sent until the server acknowledges it.
 *
 * At most one submission is in progress. The signal with which it was started ends it.
 */
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import type { ResolvedDefinition, Upload } from "../definition/resolve.ts"
import { type Progress, Uploader } from "../definition/upload.ts"
import type { Queue } from "../queue/queue.svelte.ts"
import type { Job } from "../wire.ts"
import { submissionOf, type Terms } from "./submit.ts"

export interface SubmissionOptions {
  readonly queue: Queue
  readonly problems: Problems
  readonly terms: () => Terms
  readonly uploader: Uploader
  readonly onChange: () => void
}

export class Submission {
  readonly #options: SubmissionOptions
  /** Whether a run was requested and the server has not shown it yet. */
  isUnderWay = $state(false)
  /** Whether an attempt to send the job failed, and another one follows. */
  isRetrying = $state(false)
  isUploading = $state(false)
  uploads: Readonly<Record<string, number>> = $state.raw({})
  /** Whether an upload waits for the connection. */
  isWaiting = $state(false)
  since: number | undefined = $state.raw(undefined)
  /** The record of the earlier run, while another run of the same job is requested. */
  old: Job | undefined
  /** A record that was queued after this time is of this submission; undefined before the job is sent. */
  #after: number | undefined

  constructor(options: SubmissionOptions) {
    this.#options = options
  }

  /** Shows at once that a run was requested. */
  begin(): void {
    this.isUnderWay = true
    this.#after = undefined
    this.since = Date.now()
    this.#options.onChange()
  }

  /** Ends the submission: nothing is requested any more. */
  end(): void {
    this.isUnderWay = this.isUploading = this.isWaiting = this.isRetrying = false
    this.old = this.#after = undefined
    this.#options.problems.clear("submit")
    this.#options.onChange()
  }

  /** Takes the server's record of the job. Returns whether it is of the requested run; the submission is then complete. */
  see({ queuedTime }: Job): boolean {
    if (!this.isUnderWay || this.#after === undefined || queuedTime <= this.#after) return false
    this.isUnderWay = this.isRetrying = false
    this.#options.problems.clear("submit")
    return true
  }

  /** Forgets the uploads that were shown: they belong to another job. */
  forget(): void {
    this.uploads = {}
    this.end()
  }

  /** Stores missing uploads of the job. Returns whether all of them are stored. */
  async prepare(resolved: ResolvedDefinition, signal: AbortSignal): Promise<boolean> {
    const missing = resolved.uploads.filter((upload) => !this.#options.uploader.isKnown(upload))
    if (missing.length === 0) return true
    const isDone = await this.store(missing, signal)
    if (!isDone && !signal.aborted) this.end()
    return isDone
  }

  /** Sends the job, and reads its state afterwards. `before` is its last known record. With `isAgain` it runs despite a result. */
  async submit(resolved: ResolvedDefinition, before: Job | undefined, isAgain: boolean, signal: AbortSignal): Promise<void> {
    const { queue, problems, terms } = this.#options
    const after = before?.queuedTime ?? -1
    this.old = isAgain ? before : undefined
    this.#after = after
    const onTrouble = (why: string): void => this.#retry(why)
    // If the first request to run again has arrived, a second one would cause one more run.
    const isDone = async (): Promise<boolean> =>
      !this.isUnderWay || (isAgain && ((await queue.readJob(resolved.id, signal))?.queuedTime ?? after) > after)
    const outcome = await queue.submit(submissionOf(resolved, terms(), isAgain), isDone, { signal, onTrouble })
    if (signal.aborted || !this.isUnderWay) return
    if ("why" in outcome) return this.#fail(`The job was not sent: ${outcome.why}.`)
    problems.clear("submit")
    this.isRetrying = false
    // The queue may have had the job, or its result, already: any record of it answers this submission.
    if (!this.old) this.#after = -1
    const record = await queue.readJob(resolved.id, signal)
    if (this.old && record && this.isUnderWay && !signal.aborted) {
      this.#fail("The server kept the old result, so the job did not run again.")
    }
  }

  #retry(why: string): void {
    if (!this.isUnderWay) return
    this.isRetrying = true
    this.#options.problems.say("submit", `The job is not sent yet: ${why}.`, "It will be sent again automatically.")
  }

  #fail(text: string): void {
    this.end()
    this.#options.problems.say("submit", text)
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
}
