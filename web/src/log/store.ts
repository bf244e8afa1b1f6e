import type { LogLine } from "../wire.ts"

/** Which part of a job's life wrote a line. */
export type LogPart = "build" | "run"

export interface LogEntry {
  readonly part: LogPart
  readonly text: string
  /** Epoch milliseconds. */
  readonly time: number
  readonly isStdErr: boolean
}

/** Whether two entries say the same. */
export function isSameEntry(a: LogEntry | undefined, b: LogEntry): boolean {
  return a !== undefined && a.time === b.time && a.text === b.text && a.isStdErr === b.isStdErr && a.part === b.part
}

/** The lines of one job, oldest first, bounded in lines and in bytes; when full, the oldest go and `dropped` counts them. */
export interface LogStore {
  readonly length: number
  readonly dropped: number
  at(index: number): LogEntry | undefined
  append(part: LogPart, lines: readonly LogLine[]): void
  replace(part: LogPart, lines: readonly LogLine[]): void
  /** How many entries a part has. */
  count(part: LogPart): number
  clear(): void
  /** Called after each change, with the first index that is not as before. Returns what ends the subscription. */
  subscribe(listener: (from: number) => void): () => void
}
