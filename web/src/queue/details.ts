/** What a server tells of a queue beside its socket. Everything is checked, and servers of others may lack all of it. */
import { isObject } from "../definition/shape.ts"
import type { Load } from "../wire.ts"

/** What a job is. Image and command are cut by the server. */
export interface JobBrief {
  readonly image: string
  readonly command: string
  /** Its image is built for it. */
  readonly isBuild: boolean
  /** It is an item of the task-queue API. */
  readonly isItem: boolean
  /** Of which submission of the job this is told, epoch milliseconds. */
  readonly queuedTime: number
  /** Whether it had ended when the server told of it, and its exit code, where it has one. */
  readonly isFinished: boolean
  readonly code: number | undefined
}

/** Where a waiting job stands, and what it waits for. */
export interface Place {
  readonly position: number
  readonly why: string
}

/** What of a worker is in use, and what its socket does not tell. */
export type WorkerLoad =
  Readonly<Pick<Load, "cpusUsed" | "gpusUsed" | "memory" | "jobs" | "tags" | "executor" | "time" | "isAlive">>

const ENTRIES_MAX = 10_000
const ID_CHARS_MAX = 1_024
const TEXT_CHARS_MAX = 300
const TAGS_MAX = 32

/** Reads a page of `/q/:queue/jobs`. Of a job that is there several times the first, which is the latest, counts. */
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
export function readPlaces(answer: unknown): Map<string, Place> | undefined {
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

/** The objects of a list by one of their members; undefined when it is no list. */
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
