/**
 * Joins what was read by requests with what the feed brings: of states the newest counts, of log lines each counts once.
 *
 * A state has a cursor, a place in the history of the server; a state with a smaller cursor than the known one is ignored. A server
 * of another kind sends no cursors: then what comes last counts. Lines have numbers, separately for each part of the log.
 */
import type { LogPart } from "../log/store.ts"
import type { Job, LogLine } from "../wire.ts"

/** A place in the history of the server. It is compared within one connection only. */
export type Cursor = bigint | undefined

type Jobs = Readonly<Record<string, Job>>

/** The jobs of a queue, each in its newest state. */
export class JoinedJobs {
  readonly #jobs = new Map<string, Job>()
  readonly #cursors = new Map<string, bigint>()
  readonly #max: number

  /** Keeps at most so many jobs; the oldest are forgotten. */
  constructor(max: number) {
    this.#max = max
  }

  get all(): ReadonlyMap<string, Job> {
    return this.#jobs
  }

  /** Takes the whole list, or some jobs. Returns the same jobs, and those that are newer than the list, in their newest states. */
  take(jobs: Jobs, isWhole: boolean, cursor: Cursor): Jobs {
    if (isWhole) this.#forget((id) => this.#isNewer(id, cursor))
    const newest = isWhole ? new Map(this.#jobs) : new Map<string, Job>()
    for (const [id, job] of Object.entries(jobs)) {
      if (!this.#isNewer(id, cursor)) this.#set(id, job, cursor)
      newest.set(id, this.#jobs.get(id)!)
    }
    for (const id of this.#jobs.keys()) {
      if (this.#jobs.size <= this.#max) break
      this.#delete(id)
    }
    return Object.fromEntries(newest)
  }

  /** A new connection: its first list counts in any case. */
  restart(): void {
    this.#cursors.clear()
  }

  clear(): void {
    this.#jobs.clear()
    this.#cursors.clear()
  }

  /** Whether the known state of a job is newer than this place. */
  #isNewer(id: string, cursor: Cursor): boolean {
    const known = this.#cursors.get(id)
    return cursor !== undefined && known !== undefined && known > cursor
  }

  #set(id: string, job: Job, cursor: Cursor): void {
    // Deleted first, so that the order is that of the latest changes.
    this.#jobs.delete(id)
    this.#jobs.set(id, job)
    if (cursor === undefined) this.#cursors.delete(id)
    else this.#cursors.set(id, cursor)
  }

  #forget(isKept: (id: string) => boolean): void {
    for (const id of this.#jobs.keys()) if (!isKept(id)) this.#delete(id)
  }

  #delete(id: string): void {
    this.#jobs.delete(id)
    this.#cursors.delete(id)
  }
}

/** The numbers of the log lines that are here. */
export class JoinedLines {
  #seen: Record<LogPart, number> = { build: 0, run: 0 }

  /** The number of the last line here, 0 without one. */
  seen(part: LogPart): number {
    return this.#seen[part]
  }

  /** How many lines are missing between those here and these, of which the last has the number `end`. */
  missing(part: LogPart, nLines: number, end: number): number {
    return Math.max(0, end - nLines - this.#seen[part])
  }

  /** Takes lines, of which the last has the number `end`; without a number they continue those here. Returns the new ones. */
  take(part: LogPart, lines: readonly LogLine[], end = this.#seen[part] + lines.length): readonly LogLine[] {
    const nNew = end - this.#seen[part]
    if (nNew <= 0) return []
    this.#seen[part] = end
    return lines.slice(Math.max(0, lines.length - nNew))
  }

  /** Forgets the lines of a part, or of both. */
  restart(part?: LogPart): void {
    this.#seen = part ? { ...this.#seen, [part]: 0 } : { build: 0, run: 0 }
  }
}
