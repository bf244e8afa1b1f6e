/**
 * Details of a queue that must be requested while they are visible. A route that the server lacks is not requested again. A route
 * is also not requested while it has nothing new, for example positions while no job waits.
 */
import type { DetailsPart, QueueDetails } from "../client/client.ts"
import type { Job } from "../wire.ts"
import { type JobBrief, type QueuePosition, readBriefs, readLoads, readPositions, type WorkerLoad } from "./details.ts"
import { Refusal } from "./requests.ts"

/** Pause between checks whether to request something. */
export const LOOK_MS = 1_000
/** Longest pause of a route that does not answer. */
const PAUSE_MAX_MS = 60_000

export interface DetailsOptions {
  /** Requests JSON once at a path below the queue. Rejects with a `Refusal`. */
  readonly ask: (path: string, signal: AbortSignal) => Promise<unknown>
  /** Whether there is a queue to which requests can be sent. */
  readonly mayAsk: () => boolean
  readonly jobs: () => ReadonlyMap<string, Job>
  readonly nWorkers: () => number
}

/** One route, and when it may be requested next. */
interface Source {
  readonly path: string
  /** Whether this route is needed even while only the jobs are visible. */
  readonly isOfJobs: boolean
  readonly pauseMs: number
  readonly isWanted: () => boolean
  /** Takes an answer; `unknown` are the jobs that were unknown before the request. Returns false if it cannot be read. */
  readonly take: (answer: unknown, unknown: readonly string[]) => boolean
  at: number
  nFailures: number
  isMissing: boolean
  isUnderWay: boolean
}

export class Details implements QueueDetails {
  readonly #options: DetailsOptions
  #briefs: ReadonlyMap<string, JobBrief> = $state.raw(new Map())
  #positions: ReadonlyMap<string, QueuePosition> = $state.raw(new Map())
  #loads: ReadonlyMap<string, WorkerLoad> = $state.raw(new Map())
  /** Keys of jobs, see `keyOf`, that the server does not list. They are not requested again. */
  #unlisted = new Set<string>()
  readonly #watchers = new Set<{ readonly part: DetailsPart }>()
  #timer: ReturnType<typeof setInterval> | undefined
  #life = new AbortController()
  #sources: readonly Source[]

  constructor(options: DetailsOptions) {
    this.#options = options
    this.#sources = this.#makeSources()
  }

  get briefs(): ReadonlyMap<string, JobBrief> { return this.#briefs }
  get positions(): ReadonlyMap<string, QueuePosition> { return this.#positions }
  get loads(): ReadonlyMap<string, WorkerLoad> { return this.#loads }

  /** Starts watching; the returned function ends it. */
  watch(part: DetailsPart): () => void {
    const watcher = { part }
    this.#watchers.add(watcher)
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
    this.#look()
    return () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size === 0) this.#rest()
    }
  }

  /** Forgets everything: the queue or the token has changed. */
  forget(): void {
    this.#life.abort()
    this.#life = new AbortController()
    this.#briefs = new Map()
    this.#positions = new Map()
    this.#loads = new Map()
    this.#unlisted.clear()
    this.#sources = this.#makeSources()
  }

  dispose(): void {
    this.#rest()
  }

  #rest(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#life.abort()
    this.#life = new AbortController()
  }

  #makeSources(): Source[] {
    const { jobs, nWorkers } = this.#options
    const fresh = { at: 0, nFailures: 0, isMissing: false, isUnderWay: false }
    return [
      { ...fresh, path: "jobs?limit=200", isOfJobs: true, pauseMs: 2_000, isWanted: () => this.#unknown().length > 0,
        take: (answer, unknown) => this.#takeBriefs(readBriefs(answer), unknown) },
      { ...fresh, path: "status", isOfJobs: false, pauseMs: 4_000,
        isWanted: () => [...jobs().values()].some((job) => job.state === "Queued"),
        take: (answer) => this.#takePositions(readPositions(answer)) },
      { ...fresh, path: "report.json", isOfJobs: false, pauseMs: 5_000, isWanted: () => nWorkers() > 0,
        take: (answer) => this.#takeLoads(readLoads(answer)) },
    ]
  }

  #look(): void {
    const isHidden = globalThis.document?.hidden === true
    if (isHidden || !this.#options.mayAsk()) return
    const wantsAll = [...this.#watchers].some(({ part }) => part === "all")
    for (const source of this.#sources) {
      const mayAsk = (wantsAll || source.isOfJobs) && !source.isMissing && !source.isUnderWay && Date.now() >= source.at
      if (mayAsk && source.isWanted()) void this.#ask(source, this.#life.signal)
    }
  }

  async #ask(source: Source, signal: AbortSignal): Promise<void> {
    const unknown = this.#unknown()
    source.isUnderWay = true
    try {
      const answer = await this.#options.ask(source.path, signal)
      if (signal.aborted) return
      source.isMissing = !source.take(answer, unknown)
      source.nFailures = 0
    } catch (error) {
      if (signal.aborted) return
      source.isMissing = isLacking(error)
      source.nFailures++
    } finally {
      source.isUnderWay = false
      source.at = Date.now() + Math.min(source.pauseMs * 2 ** source.nFailures, PAUSE_MAX_MS)
    }
  }

  /** Keys of jobs about which the server has more data. The exit code of a job is known only after its end, so it is asked again. */
  #unknown(): string[] {
    const isKnown = (id: string, { state, queuedTime }: Job): boolean => {
      const brief = this.#briefs.get(id)
      return brief !== undefined && (state !== "Finished" || (brief.isFinished && brief.queuedTime === queuedTime))
    }
    return [...this.#options.jobs()].filter(([id, job]) => !isKnown(id, job)).map(([id, job]) => keyOf(id, job))
      .filter((key) => !this.#unlisted.has(key))
  }

  #takeBriefs(briefs: Map<string, JobBrief> | undefined, unknown: readonly string[]): boolean {
    const jobs = this.#options.jobs()
    // Jobs that left the queue are removed, so that `#briefs` and `#unlisted` do not grow beyond the queue.
    const kept = [...this.#briefs].filter(([id]) => jobs.has(id) && !briefs?.has(id))
    this.#briefs = new Map([...kept, ...(briefs ?? [])])
    const present = new Set([...jobs].map(([id, job]) => keyOf(id, job)))
    const still = new Set(this.#unknown())
    const unlisted = [...this.#unlisted].filter((key) => present.has(key))
    this.#unlisted = new Set([...unlisted, ...unknown.filter((key) => still.has(key))])
    return briefs !== undefined
  }

  #takePositions(positions: Map<string, QueuePosition> | undefined): boolean {
    this.#positions = positions ?? new Map()
    return positions !== undefined
  }

  #takeLoads(loads: Map<string, WorkerLoad> | undefined): boolean {
    this.#loads = loads ?? new Map()
    return loads !== undefined
  }
}

/** A key of a job in its present state. */
function keyOf(id: string, { state, queuedTime }: Job): string {
  return `${state} ${queuedTime} ${id}`
}

/** Whether the server lacks the route, as opposed to being unreachable, busy or forbidden. */
function isLacking(error: unknown): boolean {
  if (!(error instanceof Refusal)) return false
  const { status, wantsToken } = error
  return status >= 400 && status < 500 && status !== 429 && !wantsToken
}
