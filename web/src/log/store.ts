import type { LogLine } from "../wire.ts"

/** Which part of a job's life wrote a line. */
export type LogPart = "build" | "run"

export interface LogEntry {
  readonly part: LogPart
  readonly text: string
  /** Epoch milliseconds. */
  readonly time: number
  readonly isStdErr: boolean
  /** A word of ours about lines that are missing here, and none of the job's. */
  readonly isNote?: true
}

/** Whether two entries say the same. */
export function isSameEntry(a: LogEntry | undefined, b: LogEntry): boolean {
  return a !== undefined && a.time === b.time && a.text === b.text && a.isStdErr === b.isStdErr && a.part === b.part
    && a.isNote === b.isNote
}

/** The lines of one job, oldest first, bounded in lines and in bytes; when full, the oldest go and `dropped` counts them. */
export interface LogStore {
  readonly length: number
  readonly dropped: number
  /** Whether every line is here: none was dropped, and no note says that some are missing. */
  readonly isWhole: boolean
  at(index: number): LogEntry | undefined
  append(part: LogPart, lines: readonly LogLine[]): void
  replace(part: LogPart, lines: readonly LogLine[]): void
  /** Says in the part how many of its lines are missing at this place. */
  note(part: LogPart, nMissing: number): void
  /** How many entries a part has, notes left out. */
  count(part: LogPart): number
  clear(): void
  /** Called after each change, with the first index that is not as before. Returns what ends the subscription. */
  subscribe(listener: (from: number) => void): () => void
}
