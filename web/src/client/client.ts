/**
 * What the page sees of everything behind it. `client.svelte.ts` makes it; components take it as a property and call nothing
 * else.
 *
 * Every property is reactive (a Svelte rune behind a getter). Methods never throw: what goes wrong becomes a `Problem`.
 */
import type { Control, Definition, Fault, Job, JobResult, LogLine, Worker } from "../wire.ts"
import type { Stage } from "../job/stage.ts"
import type { LogStore } from "../log/store.ts"
import type { ReadLines } from "../log/whole.ts"
import type { JobBrief, Place, WorkerLoad } from "../queue/details.ts"

/** Where the current job is in its life, in the words that decide which button is shown. */
export type Phase =
  /** Neither an image nor a build is set. */
  | "empty"
  /** There is a job, but no queue to send it to. */
  | "no-queue"
  /** It may be run. */
  | "ready"
  /** A run was asked for, and large inputs are on their way to the server first. */
  | "uploading"
  /** Sent, not yet confirmed. */
  | "submitting"
  | "queued"
  /** A worker pulls or builds the image. */
  | "building"
  | "running"
  /** It ran to its end, and how it ended is in the result, which is on its way. */
  | "loading"
  /** The worker went away; the server waits for it or gives the job to another. */
  | "lost"
  | "succeeded"
  /** It ran to its end with an exit code that is not 0. */
  | "failed"
  /** It could not be run. */
  | "error"
  | "timed-out"
  | "cancelled"
  /** A newer job of the same namespace took its place. */
  | "replaced"

/** Something that the user should know, in one sentence, with the mend if there is one. */
export interface Problem {
  /** Equal problems replace each other by it, such as `hash:job`, `upload:big.bin`, `queue`. */
  readonly key: string
  readonly text: string
  readonly mend?: string
}

/** The fourteen parameters of the fragment, as they are read. */
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
   * All others but those of a surrounding metapage, in the order of the fragment: each becomes a variable of the job's environment.
   */
  readonly others: Readonly<Record<string, string>>
}

/** The parameters, and the ways to change them. Setting one to its default deletes it. */
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

/** What of a queue is asked for while it is watched, by the ids of jobs and workers. A server may tell none of it. */
export interface QueueDetails {
  readonly briefs: ReadonlyMap<string, JobBrief>
  readonly places: ReadonlyMap<string, Place>
  readonly loads: ReadonlyMap<string, WorkerLoad>
}

/** What of the details somebody looks at. */
export type DetailsPart = "all" | "jobs"

/** The queue that jobs are sent to. */
export interface QueueState {
  /** What the user or the parent set, after overrides: a name, `local`, a URL, or nothing. */
  readonly name: string
  /** Base of `/f` and `/j`, without a trailing slash. */
  readonly base: string
  readonly isLocal: boolean
  readonly isOverridden: boolean
  readonly connection: Connection
  readonly workers: readonly Worker[]
  /** Every job that the server told of, by id. */
  readonly jobs: Readonly<Record<string, Job>>
  /** Whether the server wants a token for this queue (it answered 401 or 403). */
  readonly needsToken: boolean
  /**
   * The token that this tab keeps for the queue, if any. It goes to the queue's own server alone, in a header: never into a link,
   * the fragment or the parent page.
   */
  readonly token: string | undefined
  setToken(token: string): void
  /** Goes to the worker of this machine, or back to the queue of before. */
  toggleLocal(): void
  readonly details: QueueDetails
  /** Keeps `details`, or what the jobs are alone, up to date until what it gives is called. */
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
  /** Whether the server knows the job: only then it has a page there. */
  readonly isOnServer: boolean
  /** How far the image is, in phase `building`. */
  readonly stage: Stage | undefined
  /** Why it waits or failed, in one or two sentences for a person. */
  readonly explanation: string
  /** Epoch milliseconds, where they are known, of the phase's beginning and of the run's. */
  readonly since: number | undefined
  readonly startedAt: number | undefined
  readonly result: JobResult | undefined
  /** Whose fault it is that it has no result, as far as the server says it. */
  readonly fault: Fault | undefined
  /** Build and run log, bounded. */
  readonly log: LogStore
  /** Reads the log as the server has it, unbounded. */
  readonly readLines: ReadLines
  /** Uploads under way: name to share done, 0 to 1. */
  readonly uploads: Readonly<Record<string, number>>
}

/** A file that the job takes: dropped or chosen by the user and not sent yet, part of the job, or sent by the parent. */
export interface InputFile {
  readonly name: string
  /** Undefined where only the server knows. */
  readonly bytes: number | undefined
  readonly from: "user" | "job" | "metapage"
}

export interface MetaframeState {
  /** Whether the page lies in a frame. */
  readonly isEmbedded: boolean
  readonly isConnected: boolean
  /** The last hand-over of outputs. */
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

/** What was edited and is not in the job yet. */
export interface KeptEdits {
  /** Texts of files by name. */
  readonly texts: Readonly<Record<string, string>>
  /** The settings; undefined where they are as the job is. */
  readonly form: unknown
}

export interface Client {
  readonly params: Params
  readonly problems: readonly Problem[]
  readonly queue: QueueState
  readonly job: CurrentJob
  readonly metaframe: MetaframeState
  /** What the page may do where the job would run on the person's own machine. */
  readonly guard: { readonly isLocalInstance: boolean; readonly isOn: boolean; readonly isShowOnly: boolean }
  /** Files beside the text files of `params.inputs`. */
  readonly files: readonly InputFile[]
  readonly history: readonly PastRun[]

  run(): void
  stop(): void
  /** The fragment of a link to the job as it is here, inputs of the parent included; undefined where that is too large. */
  link(): Promise<string | undefined>
  /** Tells the person something, until it is dismissed. */
  say(key: string, text: string, mend?: string): void
  /** Runs the same definition anew; the old result stays until the new one is there. */
  runAgain(): void
  /** Forgets the result here and on the server. */
  clearResult(): void
  /** Text becomes an entry of `params.inputs` when it is small; anything else is uploaded and becomes an input of the job. */
  addFiles(files: readonly File[]): void
  removeFile(name: string): void
  dismiss(key: string): void
  /** Brings a past run back into the fragment. */
  reopen(run: PastRun): void
  forgetHistory(): void
  /** Edits of an earlier visit to the job as it is now, in this frame and for this queue. */
  keptEdits(): Promise<KeptEdits | undefined>
  /** Keeps edits over a reload; none forgets them. Gives whether they are kept. */
  keepEdits(edits: KeptEdits | undefined): Promise<boolean>
  /** Lines of another view, such as the page of one job, go through the same type. */
  dispose(): void
}

export type { LogLine }
