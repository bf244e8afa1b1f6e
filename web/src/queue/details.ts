/** Data about a queue that a server sends outside of its socket. Everything is checked, and other servers may lack all of it. */
import { isObject } from "../definition/shape.ts"
import type { Load } from "../wire.ts"

/** The description of a job. The server cuts image and command. */
export interface JobBrief {
  readonly image: string
  readonly command: string
  /** Whether its image is built for it. */
  readonly isBuild: boolean
  /** Whether it is an item of the task-queue API. */
  readonly isItem: boolean
  /** The time of the job's submission, epoch milliseconds. */
  readonly queuedTime: number
  /** Whether it had ended when the server answered, and its exit code, if it has one. */
  readonly isFinished: boolean
  readonly code: number | undefined
}

/** The position of a waiting job, and what it waits for. */
export interface QueuePosition {
  readonly position: number
  readonly why: string
}

/** The load of a worker, and facts that the socket does not send. */
export type WorkerLoad =
  Readonly<Pick<Load, "cpusUsed" | "gpusUsed" | "memory" | "jobs" | "tags" | "executor" | "time" | "isAlive">>

const ENTRIES_MAX = 10_000
const ID_CHARS_MAX = 1_024
const TEXT_CHARS_MAX = 300
const TAGS_MAX = 32

/** Reads a page of `/q/:queue/jobs`. If a job is listed several times, its first entry counts, because it is the latest. */
export function readBriefs(answer: unknown): Map<string, JobBrief> | undefined {
  const found = new Map<string, JobBrief>()
  for (const [id, job] of entries(isObject(answer) ? answer.data : undefined, "id") ?? []) {
    if (!found.has(id)) found.set(id, briefOf(job))
  }
  return isObject(answer) && Array.isArray(answer.data) ? found : undefined
}

function briefOf(job: Record<string, unknown>): JobBrief {
  return {
    image: text(job.image), command: text(job.command), isBuild: job.isBuild === true, isItem: job.isItem === true,
    queuedTime: number(job.queuedTime), isFinished: job.state === "Finished",
    code: typeof job.statusCode === "number" ? job.statusCode : undefined,
  }
}

/** Reads the waiting jobs of `/q/:queue/status`. */
export function readPositions(answer: unknown): Map<string, QueuePosition> | undefined {
  const waiting = entries(isObject(answer) ? answer.waiting : undefined, "jobId")
  return waiting && new Map(waiting.map(([id, place]) => [id, { position: number(place.position), why: text(place.why) }]))
}

/** Reads the workers of `/q/:queue/report.json`. */
export function readLoads(answer: unknown): Map<string, WorkerLoad> | undefined {
  const report = isObject(answer) && isObject(answer.data) ? answer.data : undefined
  const workers = entries(report?.workers, "id")
  return workers && new Map(workers.map(([id, worker]) => [id, loadOf(worker)]))
}

function loadOf(worker: Record<string, unknown>): WorkerLoad {
  const tags = Array.isArray(worker.tags) ? worker.tags.slice(0, TAGS_MAX).map(text).filter((tag) => tag !== "") : []
  return {
    cpusUsed: number(worker.cpusUsed), gpusUsed: number(worker.gpusUsed), memory: number(worker.memory),
    jobs: number(worker.jobs), tags, executor: text(worker.executor), time: number(worker.time),
    isAlive: worker.isAlive === true,
  }
}

/** The objects of a list by the value of one of their members; undefined if `list` is not a list. */
function entries(list: unknown, key: string): [string, Record<string, unknown>][] | undefined {
  if (!Array.isArray(list)) return undefined
  return list.slice(0, ENTRIES_MAX).filter(isObject).flatMap((entry): [string, Record<string, unknown>][] => {
    const id = entry[key]
    return typeof id === "string" && id.length <= ID_CHARS_MAX ? [[id, entry]] : []
  })
}

function text(value: unknown): string {
  return typeof value === "string" ? value.slice(0, TEXT_CHARS_MAX) : ""
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0
}
