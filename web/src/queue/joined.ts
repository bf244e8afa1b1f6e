/**
 * Joins data from requests with data from the feed. Of several states of a job the newest counts, and each log line counts once.
 *
 * A state has a cursor, which is a position in the history of the server; a state with a smaller cursor than the known one is
 * ignored. A server that is not Asman sends no cursors: then the state that comes last counts. Log lines have numbers, separately
 * for each part of the log.
 */
import type { LogPart } from "../log/store.ts"
import type { Job, LogLine } from "../wire.ts"

/** A position in the history of the server. Cursors are compared only within one connection. */
export type Cursor = bigint | undefined

type Jobs = Readonly<Record<string, Job>>

/** The jobs of a queue, each in its newest state. */
export class JoinedJobs {
  readonly #jobs = new Map<string, Job>()
  readonly #cursors = new Map<string, bigint>()
  readonly #max: number

  /** Keeps at most `max` jobs, and forgets the oldest. */
  constructor(max: number) {
    this.#max = max
  }

  get all(): ReadonlyMap<string, Job> {
    return this.#jobs
  }

  /** Takes the whole list, or some jobs. Returns these jobs, and after a whole list also newer ones, all in their newest states. */
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

  /** Forgets the cursors, because a new connection has begun: its first list counts in any case. */
  restart(): void {
    this.#cursors.clear()
  }

  clear(): void {
    this.#jobs.clear()
    this.#cursors.clear()
  }

  /** Whether the known state of a job is newer than this cursor. */
  #isNewer(id: string, cursor: Cursor): boolean {
    const known = this.#cursors.get(id)
    return cursor !== undefined && known !== undefined && known > cursor
  }

  #set(id: string, job: Job, cursor: Cursor): void {
    // The job is deleted first, so that the map is in the order of the latest changes.
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

/** Counts the log lines that the page has, by their numbers. */
export class JoinedLines {
  #seen: Record<LogPart, number> = { build: 0, run: 0 }

  /** The number of the last line that the page has; 0 if it has none. */
  seen(part: LogPart): number {
    return this.#seen[part]
  }

  /** How many lines are missing between the known lines and `nLines` new ones, of which the last has the number `end`. */
  missing(part: LogPart, nLines: number, end: number): number {
    return Math.max(0, end - nLines - this.#seen[part])
  }

  /** Takes lines, of which the last has the number `end`; without it they follow the known lines. Returns the new ones. */
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
