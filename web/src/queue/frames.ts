/** The messages of a server on the socket. Everything is checked, because the server is not trusted. */
import { isObject } from "../definition/shape.ts"
import type { Fault, Job, LogLine, LogsMessage, Missing, MissingCode, Reason, JobState, Step, Worker } from "../wire.ts"
import type { Cursor } from "./joined.ts"

/** Most UTF-16 units of one frame; larger ones are dropped. A snapshot of 10,000 jobs has about 3 MiB. */
const FRAME_CHARS_MAX = 16 * 1024 * 1024
/** Most jobs of one frame; a server lists no more. */
export const JOBS_MAX = 10_000
const WORKERS_MAX = 10_000
/** Most characters of an id or a name. */
const NAME_CHARS_MAX = 1_024

export type Frame =
  | { readonly type: "jobs"; readonly jobs: Readonly<Record<string, Job>>; readonly isWhole: boolean; readonly cursor: Cursor }
  | { readonly type: "workers"; readonly workers: readonly Worker[] }
  | { readonly type: "logs"; readonly logs: LogsMessage }
  | { readonly type: "vanished"; readonly jobId: string }

/** Most reasons for missing outputs, and most names for each reason. */
const WHY_MAX = 20
const CODE = /^[a-z0-9][a-z0-9-]{0,63}$/
const FAULTS: ReadonlySet<unknown> = new Set<Fault>(["job", "machine", "network", "settings", "cluster"])
const STATES: ReadonlySet<unknown> = new Set<JobState>(["Queued", "Running", "Finished", "Removed"])
const REASONS: ReadonlySet<unknown> = new Set<Reason>([
  "Success", "Error", "TimedOut", "Cancelled", "WorkerLost", "JobReplacedByClient", "Deleted",
])
const STEPS: ReadonlySet<unknown> =
  new Set<Step>(["docker image pull", "cloning repo", "docker build", "Running", "docker image push"])

/** Reads a text frame. Undefined if it cannot be read or is not for this page; never throws. */
export function readFrame(text: string): Frame | undefined {
  if (!text.startsWith("{") || text.length > FRAME_CHARS_MAX) return undefined
  const message = parsed(text)
  if (!isObject(message) || !isObject(message.payload)) return undefined
  const { type, payload } = message
  if (type === "JobStates" || type === "JobStateUpdates") return jobsOf(payload, type === "JobStates")
  if (type === "Workers") return workersOf(payload)
  if (type === "ClearJobCache") return vanishedOf(payload)
  return type === "JobStatusPayload" ? logsOf(payload) : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Reads job states. The page shows only present states, so a message with a past state is ignored: such a message may come after a
 * snapshot that contains the present state already, and another message with the present state follows it.
 */
function jobsOf({ state, isPast, cursor }: Record<string, unknown>, isWhole: boolean): Frame | undefined {
  if (isPast === true) return undefined
  if (!isObject(state) || !isObject(state.jobs)) return undefined
  const entries = Object.entries(state.jobs).slice(0, JOBS_MAX)
  const sound = entries.flatMap(([id, job]) => {
    const read = id.length <= NAME_CHARS_MAX ? readJob(job) : undefined
    return read ? [[id, read] as const] : []
  })
  return { type: "jobs", jobs: Object.fromEntries(sound), isWhole, cursor: readCursor(cursor) }
}

/** A cursor of states; undefined if it is not one. */
export function readCursor(value: unknown): Cursor {
  return typeof value === "string" && /^\d{1,20}$/.test(value) ? BigInt(value) : undefined
}

/** A value as a job, with defaults for members that other servers leave out; undefined if it is not a job. */
export function readJob(value: unknown): Job | undefined {
  if (!isObject(value) || !STATES.has(value.state) || !isTime(value.time)) return undefined
  const { state, time, queuedTime, worker, namespaces, finishedReason, finished, ...rest } = value
  const reason = finishedReason ?? (isObject(finished) ? finished.reason : undefined)
  if (state === "Finished" && !REASONS.has(reason)) return undefined
  return {
    ...optional(rest),
    state: state as JobState,
    time,
    queuedTime: isTime(queuedTime) ? queuedTime : time,
    worker: typeof worker === "string" ? worker.slice(0, NAME_CHARS_MAX) : "",
    namespaces: Array.isArray(namespaces) ? namespaces.filter((name): name is string => typeof name === "string") : [],
    ...(REASONS.has(reason) && { finishedReason: reason as Reason }),
    ...(isFinished(finished) && { finished }),
  }
}

function optional({ tags, requirements, debug }: Record<string, unknown>): Pick<Job, "tags" | "requirements" | "debug"> {
  return {
    ...(Array.isArray(tags) && { tags: tags.filter((tag): tag is string => typeof tag === "string") }),
    ...(isObject(requirements) && { requirements }),
    ...(typeof debug === "boolean" && { debug }),
  }
}

/** Checks the end of a job. Removes invalid members, adds members that the server left out, and changes nothing else. */
function isFinished(value: unknown): value is NonNullable<Job["finished"]> {
  if (!isObject(value) || !REASONS.has(value.reason) || !isTime(value.time)) return false
  if (value.message !== undefined && typeof value.message !== "string") delete value.message
  if (typeof value.code !== "string" || !CODE.test(value.code)) delete value.code
  if (!FAULTS.has(value.fault)) delete value.fault
  const { result } = value
  if (result === undefined || result === null) {
    delete value.result
    return true
  }
  if (!isObject(result)) return false
  result.logs = readLines(result.logs)
  const outputs = isObject(result.outputs) ? Object.entries(result.outputs) : []
  result.outputs = Object.fromEntries(outputs.filter(([, ref]) => isObject(ref) && ref.value !== undefined))
  result.isTimedOut = result.isTimedOut === true
  if (typeof result.StatusCode !== "number") delete result.StatusCode
  if (!isTime(result.duration)) delete result.duration
  if (!isObject(result.logsOmitted)) delete result.logsOmitted
  if (result.logsOf !== "build") delete result.logsOf
  const missing = missingOf(result.missing)
  if (missing) result.missing = missing
  else delete result.missing
  return true
}

/** The missing outputs of a result, checked; undefined if none are missing, or the result does not say whether any are. */
function missingOf(value: unknown): Missing | undefined {
  if (!isObject(value) || !isTime(value.outputs)) return undefined
  const text = (word: unknown): string => (typeof word === "string" ? word.slice(0, NAME_CHARS_MAX) : "")
  const why = Array.isArray(value.why) ? value.why.slice(0, WHY_MAX).filter(isObject) : []
  return {
    outputs: value.outputs, ...(value.isMore === true && { isMore: true }),
    why: why.map(({ code, outputs, names, message }) => ({
      code: text(code) as MissingCode, outputs: isTime(outputs) ? outputs : 0, message: text(message),
      names: Array.isArray(names) ? names.slice(0, WHY_MAX).map(text) : [],
    })),
  }
}

function workersOf({ workers }: Record<string, unknown>): Frame | undefined {
  if (!Array.isArray(workers)) return undefined
  return { type: "workers", workers: workers.slice(0, WORKERS_MAX).filter(isObject).map(worker) }
}

function worker({ id, version, cpus, gpus, time, maxJobDuration }: Record<string, unknown>): Worker {
  const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0)
  const name = (value: unknown): string =>
    (typeof value === "string" || typeof value === "number" ? String(value).slice(0, NAME_CHARS_MAX) : "")
  return { id: name(id), version: name(version), cpus: number(cpus), gpus: number(gpus), time: number(time),
    maxJobDuration: name(maxJobDuration) }
}

function vanishedOf({ jobId }: Record<string, unknown>): Frame | undefined {
  return typeof jobId === "string" && jobId.length <= NAME_CHARS_MAX ? { type: "vanished", jobId } : undefined
}

function logsOf({ jobId, step, logs, cursor }: Record<string, unknown>): Frame | undefined {
  if (typeof jobId !== "string" || !STEPS.has(step)) return undefined
  const lines = readLines(logs)
  // A number that is less than the number of lines cannot be right, and is ignored.
  const isWhole = Array.isArray(logs) && logs.length === lines.length
  const isNumbered = isWhole && Number.isSafeInteger(cursor) && lines.length <= Number(cursor)
  return { type: "logs", logs: { jobId, step: step as Step, logs: lines, ...(isNumbered && { cursor: Number(cursor) }) } }
}

/** All valid log lines. Their number needs no limit, because the size of their message is bounded. */
export function readLines(value: unknown): LogLine[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((line: unknown): LogLine[] => {
    if (!Array.isArray(line) || typeof line[0] !== "string") return []
    const time = isTime(line[1]) ? line[1] : 0
    return [line[2] === true ? [line[0], time, true] : [line[0], time]]
  })
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value)
}
