/** Why a job waits or how it ended, in one or two sentences. */
import type { Connection, Phase } from "../client/client.ts"
import { isObject } from "../definition/shape.ts"
import type { Definition, Job, JobResult, Missing } from "../wire.ts"
import { endingHint, exitMeaning, waitingHint } from "./ending.ts"
import type { Stage } from "./stage.ts"

/** The server's data about the job's position in the queue. */
export interface Waiting {
  readonly position: number | undefined
  readonly nQueued: number
  readonly nWorkers: number
  readonly why: string | undefined
  /** Why the job waits, as a code for programs. */
  readonly code: string | undefined
}

/** Reads the answer of `/q/:queue/status` for one job. Other servers send less; missing values are undefined. */
export function readWaiting(status: unknown, jobId: string): Waiting | undefined {
  if (!isObject(status)) return undefined
  const jobs = isObject(status.jobs) ? Object.values(status.jobs) : []
  const waiting = Array.isArray(status.waiting) ? status.waiting.filter(isObject) : []
  const own = waiting.find((entry) => entry.jobId === jobId)
  return {
    position: typeof own?.position === "number" ? own.position : undefined,
    nQueued: jobs.filter((job) => isObject(job) && job.state === "Queued").length,
    nWorkers: isObject(status.localWorkers) ? Object.keys(status.localWorkers).length : 0,
    why: typeof own?.why === "string" ? own.why.slice(0, 300) : undefined,
    code: typeof own?.code === "string" ? own.code : undefined,
  }
}

export interface Situation {
  readonly phase: Phase
  readonly connection: Connection
  readonly record: Job | undefined
  readonly result: JobResult | undefined
  readonly waiting: Waiting | undefined
  readonly nWorkers: number
  readonly nUploads: number
  /** Whether an upload waits for the connection. */
  readonly isWaiting: boolean
  /** Whether an attempt to send the job failed, and another one follows. */
  readonly isRetrying: boolean
  readonly hasNoResult: boolean
  readonly stage: Stage | undefined
  readonly definition: Definition | undefined
}

/** Phases whose present state only the server knows. */
const LIVE: ReadonlySet<Phase> = new Set<Phase>(["queued", "building", "running"])

export function explain(now: Situation): string {
  if (now.connection === "reconnecting" && LIVE.has(now.phase)) {
    return "The connection to the server is lost, so this may have changed. Trying again. The job does not depend on this page."
  }
  switch (now.phase) {
    case "empty": return "Set an image or a build."
    case "no-queue": return "Set the queue that should run it."
    case "ready": return now.record?.finishedReason === "Deleted" ? "Its result was cleared." : ""
    case "uploading": return uploadText(now)
    case "submitting": return now.isRetrying ? "It will be sent as soon as the server can be reached." : "It is being sent to the queue."
    case "queued": return waitingText(now.waiting, now.nWorkers)
    case "building": return `${onWorker(now.record)} ${stageText(now.stage)}.`
    case "running": return `${onWorker(now.record)} runs it.`
    default: return endText(now)
  }
}

function uploadText({ nUploads, isWaiting }: Situation): string {
  if (isWaiting) return "Waiting for the connection to the server; the upload continues by itself when it is back."
  return nUploads === 1 ? "One large input is being sent to the server." : `${nUploads} large inputs are being sent to the server.`
}

function onWorker(record: Job | undefined): string {
  return record?.worker ? `Worker ${record.worker.slice(0, 40)}` : "A worker"
}

function stageText(stage: Stage | undefined): string {
  const what = stage?.what ?? ""
  switch (stage?.kind) {
    case "pull": return what === "" ? "pulls the image" : `pulls ${what}`
    case "clone": return what === "" ? "fetches the build's files" : `fetches ${what}`
    case "build": return what === "" ? "builds the image" : `builds the image: ${what}`
    case "push": return "stores the built image for later runs"
    case undefined: return "prepares the image"
  }
}

/**
 * A job's position in its queue, what it waits for, and advice. `nWorkers` is used if the server does not send the number of
 * workers; `start` says how to start a worker.
 */
export function waitingText(waiting: Waiting | undefined, nWorkers: number, start?: string): string {
  const n = waiting?.nWorkers ?? nWorkers
  const workers = n === 0 ? "No worker is connected to this queue"
    : n === 1 ? "One worker is connected" : `${n} workers are connected`
  const why = n > 0 && waiting?.why ? `; ${waiting.why}` : ""
  return joined(`${placeText(waiting)}${workers}${why}.`, waitingHint(n, waiting?.code, start))
}

function placeText(waiting: Waiting | undefined): string {
  return waiting?.position === undefined ? "" : `Position ${waiting.position} of ${Math.max(waiting.nQueued, waiting.position)}. `
}

function endText(now: Situation): string {
  const { record, result, definition } = now
  const message = errorText(result?.error) ?? record?.finished?.message
  const { code, fault } = record?.finished ?? {}
  return joined(endSentence(now, message), missingText(result?.missing), endingHint({ reason: record?.finishedReason,
    status: result?.StatusCode, code, fault, isExplained: message !== undefined, definition }))
}

function endSentence({ phase, record, result, hasNoResult }: Situation, message: string | undefined): string {
  const said = record?.finished?.message
  switch (phase) {
    case "succeeded": return hasNoResult ? "It succeeded, but the server does not have its result any more. Run it again to get one." : ""
    case "failed": return exitText(result?.StatusCode ?? 0, said)
    case "error": return sentence(message ?? "It could not run")
    case "timed-out": return said ? sentence(`It was stopped: ${said}`) : "It exceeded its time limit and was stopped."
    case "cancelled": return said ? sentence(`It was stopped: ${said}`) : "It was stopped."
    case "replaced": return "A newer job of the same frame took its place."
    case "lost": return "The connection to its worker is lost; the job waits for it or goes to another one."
    default: return ""
  }
}

/** Says that a result is not complete; empty if it is complete. */
export function missingText(missing: Missing | undefined): string {
  if (!missing) return ""
  const n = missing.outputs.toLocaleString("en")
  return `${missing.isMore ? "More than " : ""}${n} ${missing.outputs === 1 ? "output is" : "outputs are"} missing from its result.`
}

function exitText(code: number, said: string | undefined): string {
  const why = said ?? exitMeaning(code)
  return sentence(`The program ended with exit code ${code}${why ? `: ${why}` : ""}`)
}

function joined(...sentences: string[]): string {
  return sentences.filter((one) => one !== "").join(" ")
}

function errorText(error: unknown): string | undefined {
  if (typeof error === "string") return error
  if (!isObject(error)) return undefined
  const inner = isObject(error.json) ? error.json.message : error.message
  return typeof inner === "string" ? inner : undefined
}

function sentence(text: string): string {
  const bare = text.trim().slice(0, 2_000)
  const first = bare.charAt(0).toUpperCase() + bare.slice(1)
  return /[.!?]$/.test(first) ? first : `${first}.`
}
