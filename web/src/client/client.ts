/**
 * The page's view of everything behind it. `client.svelte.ts` builds it; components get it as a property and use nothing else.
 *
 * Every property is reactive (a Svelte rune behind a getter). Methods never throw: an error becomes a `Problem`.
 */
import type { Control, Definition, Fault, Job, JobResult, LogLine, Worker } from "../wire.ts"
import type { Stage } from "../job/stage.ts"
import type { LogStore } from "../log/store.ts"
import type { ReadLines } from "../log/whole.ts"
import type { JobBrief, QueuePosition, WorkerLoad } from "../queue/details.ts"

/** The phase of the current job. The page chooses its buttons by the phase. */
export type Phase =
  /** Neither an image nor a build is set. */
  | "empty"
  /** There is a job, but no queue to send it to. */
  | "no-queue"
  /** The job can run. */
  | "ready"
  /** A run was requested, and large inputs are being uploaded first. */
  | "uploading"
  /** A run was requested, and the server has not shown it yet. */
  | "submitting"
  | "queued"
  /** A worker pulls or builds the image. */
  | "building"
  | "running"
  /** It ran to its end, and its result is being loaded. */
  | "loading"
  /** The worker does not answer; the server waits for it or gives the job to another one. */
  | "lost"
  | "succeeded"
  /** It ran to its end with an exit code that is not 0. */
  | "failed"
  /** It could not run. */
  | "error"
  | "timed-out"
  | "cancelled"
  /** A newer job of the same namespace took its place. */
  | "replaced"

/** A problem for the user, in one sentence, with the fix if there is one. */
export interface Problem {
  /** A new problem replaces an older one with the same key, such as `hash:job`, `upload:big.bin`, `queue`. */
  readonly key: string
  readonly text: string
  readonly fix?: string
}

/** The fourteen parameters of the fragment. */
export interface ReadParams {
  readonly job: Definition | undefined
  readonly inputs: Readonly<Record<string, string>>
  readonly queue: string
  readonly queueOverride: string
  readonly ignoreQueueOverride: boolean
  readonly control: Control | undefined
  readonly autostart: boolean
  readonly allowsetjob: boolean
  readonly resolverefs: boolean
  readonly terminal: boolean
  readonly debug: boolean
  readonly maxJobDuration: string
  readonly definition: MetaframeDefinition | undefined
  /**
   * All other parameters, except those of a surrounding metapage, in the order of the fragment: each becomes an environment
   * variable of the job.
   */
  readonly others: Readonly<Record<string, string>>
}

/** The parameters, and methods to change them. Setting one to its default deletes it. */
export interface Params extends ReadParams {
  setJob(job: Definition | undefined): void
  setInputs(inputs: Record<string, string>): void
  setQueue(queue: string): void
  setControl(control: Control | undefined): void
  setFlag(name: "autostart" | "allowsetjob" | "resolverefs" | "terminal" | "debug" | "ignoreQueueOverride", value: boolean): void
  setDefinition(definition: MetaframeDefinition | undefined): void
}

/** What a metapage's editor shows of this frame. */
export interface MetaframeDefinition {
  version?: string
  inputs?: Record<string, { type?: string }>
  outputs?: Record<string, { type?: string }>
  metadata?: Record<string, unknown>
  allow?: string
}

export type Connection = "none" | "connecting" | "open" | "reconnecting"

/** Details of a queue that are requested while it is watched, by the ids of jobs and workers. A server may send none of them. */
export interface QueueDetails {
  readonly briefs: ReadonlyMap<string, JobBrief>
  readonly positions: ReadonlyMap<string, QueuePosition>
  readonly loads: ReadonlyMap<string, WorkerLoad>
}

/** Which details are visible. */
export type DetailsPart = "all" | "jobs"

/** The queue that jobs are sent to. */
export interface QueueState {
  /** The queue that the user or the parent set; an override replaces it. A name, `local`, a URL, or empty. */
  readonly name: string
  /** Base of `/f` and `/j`, without a trailing slash. */
  readonly base: string
  readonly isLocal: boolean
  readonly isOverridden: boolean
  readonly connection: Connection
  readonly workers: readonly Worker[]
  /** Every job that the server sent, by id. */
  readonly jobs: Readonly<Record<string, Job>>
  /** Whether the server requires a token for this queue (it answered 401 or 403). */
  readonly needsToken: boolean
  /**
   * The token that this tab keeps for the queue, if any. It is sent only to the queue's own server. It is never part of a link or
   * of the fragment, and the parent page never gets it.
   */
  readonly token: string | undefined
  setToken(token: string): void
  /** Switches to the queue of this machine, or back to the earlier queue. */
  toggleLocal(): void
  readonly details: QueueDetails
  /** Keeps `details`, or only the jobs' descriptions, up to date until the returned function is called. */
  watch(part?: DetailsPart): () => void
  /** Cancels any job of the queue. */
  cancel(jobId: string): void
}

/** The one job that the page is about. */
export interface CurrentJob {
  readonly phase: Phase
  /** The effective definition, after environment, inputs and uploads; undefined in phase `empty`. */
  readonly definition: Definition | undefined
  readonly id: string | undefined
  readonly record: Job | undefined
  /** Whether the server has the job. A job has a page on the server only then. */
  readonly isOnServer: boolean
  /** The progress of the image, in phase `building`. */
  readonly stage: Stage | undefined
  /** Why the job waits or failed, in one or two sentences. */
  readonly explanation: string
  /** The beginning of the phase and of the run, epoch milliseconds, if known. */
  readonly since: number | undefined
  readonly startedAt: number | undefined
  readonly result: JobResult | undefined
  /** Whose fault it is that the job has no result, if the server says so. */
  readonly fault: Fault | undefined
  /** Build and run log, bounded. */
  readonly log: LogStore
  /** Reads the server's whole log, without a bound. */
  readonly readLines: ReadLines
  /** Uploads in progress: the finished share by name, 0 to 1. */
  readonly uploads: Readonly<Record<string, number>>
}

/** A file of the job: the user dropped or chose it and it is not sent yet, or it is part of the job, or the parent sent it. */
export interface InputFile {
  readonly name: string
  /** Undefined if only the server knows it. */
  readonly bytes: number | undefined
  readonly from: "user" | "job" | "metapage"
}

export interface MetaframeState {
  /** Whether the page is in a frame. */
  readonly isEmbedded: boolean
  readonly isConnected: boolean
  /** The last delivery of outputs. */
  readonly delivered: { readonly jobId: string; readonly time: number; readonly names: readonly string[] } | undefined
}

/** One past run of this browser. */
export interface PastRun {
  readonly id: string
  readonly queue: string
  readonly definition: Definition
  /** The fragment that brings this job back. */
  readonly fragment: string
  readonly phase: Phase
  readonly submittedAt: number
  readonly duration: number | undefined
}

/** Edits that are not in the job yet. */
export interface KeptEdits {
  /** Texts of files by name. */
  readonly texts: Readonly<Record<string, string>>
  /** The settings; undefined if they match the job. */
  readonly form: unknown
}

export interface Client {
  readonly params: Params
  readonly problems: readonly Problem[]
  readonly queue: QueueState
  readonly job: CurrentJob
  readonly metaframe: MetaframeState
  /** What the page may do if the job would run on the user's own machine. */
  readonly guard: { readonly isLocalInstance: boolean; readonly isOn: boolean; readonly isShowOnly: boolean }
  /** All files of the job except the text files of `params.inputs`. */
  readonly files: readonly InputFile[]
  readonly history: readonly PastRun[]

  run(): void
  stop(): void
  /** The fragment of a link to the present job, including inputs of the parent; undefined if that is too large. */
  link(): Promise<string | undefined>
  /** Shows a problem to the user, until it is dismissed. */
  say(key: string, text: string, fix?: string): void
  /** Runs the same definition again; the old result stays until the new one arrives. */
  runAgain(): void
  /** Removes the result here and on the server. */
  clearResult(): void
  /** A small text becomes an entry of `params.inputs`. Any other file is uploaded and becomes an input of the job. */
  addFiles(files: readonly File[]): void
  removeFile(name: string): void
  dismiss(key: string): void
  /** Brings a past run back into the fragment. */
  reopen(run: PastRun): void
  forgetHistory(): void
  /** Unsaved edits that an earlier visit stored for the present job, in this frame and for this queue. */
  keptEdits(): Promise<KeptEdits | undefined>
  /** Stores edits, so that they survive a reload; undefined removes the stored ones. Returns whether the edits are stored. */
  keepEdits(edits: KeptEdits | undefined): Promise<boolean>
  /** Ends all connections, requests and timers of the client. */
  dispose(): void
}

export type { LogLine }
