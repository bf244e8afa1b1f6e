import type { LogLine } from "../wire.ts"

/** Which part of a job's life wrote a line. */
export type LogPart = "build" | "run"

export interface LogEntry {
  readonly part: LogPart
  readonly text: string
  /** Epoch milliseconds. */
  readonly time: number
  readonly isStdErr: boolean
  /** A note of the page about missing lines, not a line of the job. */
  readonly isNote?: true
}

/** Whether two entries are equal. */
export function isSameEntry(a: LogEntry | undefined, b: LogEntry): boolean {
  return a !== undefined && a.time === b.time && a.text === b.text && a.isStdErr === b.isStdErr && a.part === b.part
    && a.isNote === b.isNote
}

/**
 * The lines of one job, oldest first, bounded in lines and in bytes; when full, the oldest are dropped and `dropped` counts them.
 */
export interface LogStore {
  readonly length: number
  readonly dropped: number
  /** Whether every line is here: none was dropped, and no note says that some are missing. */
  readonly isWhole: boolean
  at(index: number): LogEntry | undefined
  append(part: LogPart, lines: readonly LogLine[]): void
  replace(part: LogPart, lines: readonly LogLine[]): void
  /** Adds a note to the part, which says how many of its lines are missing here. */
  note(part: LogPart, nMissing: number): void
  /** How many entries a part has, notes left out. */
  count(part: LogPart): number
  clear(): void
  /** Called after each change, with the first index that changed. Returns a function that ends the subscription. */
  subscribe(listener: (from: number) => void): () => void
}
