/** How the numbers of a queue are shown. */
import type { Interval, Reason, Span } from "../../wire.ts"

/** One kind of end in a chart: its name, its colour, and how many jobs of an interval ended in this way. */
export interface Kind {
  readonly name: string
  readonly color: string
  readonly count: (interval: Interval) => number
}

const of = (interval: Interval, ...reasons: Reason[]): number =>
  reasons.reduce((sum, reason) => sum + (interval.outcomes[reason] ?? 0), 0)

/** The kinds of end in the throughput chart, from the bottom. */
export const KINDS: readonly Kind[] = [
  { name: "succeeded", color: "var(--ok)", count: (one) => Math.max(0, of(one, "Success") - one.programFailures) },
  { name: "failed", color: "var(--warn)", count: (one) => one.programFailures },
  { name: "could not run", color: "var(--bad)", count: (one) => of(one, "Error", "TimedOut", "WorkerLost") },
  { name: "cancelled or replaced", color: "var(--line-strong)", count: (one) =>
    of(one, "Cancelled", "JobReplacedByClient", "Deleted") },
]

/** `14:05`, or `Tue 14:00` where a chart spans a day. */
export function intervalText(time: number, span: Span): string {
  const clock = new Date(time).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
  return span === "hour" ? clock : `${new Date(time).toLocaleDateString(undefined, { weekday: "short" })} ${clock}`
}

/** `0 s`, `40 ms`, `1.2 s`, `3 min`: seconds as an axis shows them. */
export function secondsText(seconds: number): string {
  if (seconds === 0) return "0 s"
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`
  if (seconds < 90) return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`
  if (seconds < 5400) return `${Number((seconds / 60).toFixed(1))} min`
  return `${Number((seconds / 3600).toFixed(1))} h`
}

/** The least round number that is not below `max`: 1, 2 or 5 times a power of ten. */
export function roundUp(max: number): number {
  if (!(max > 0) || !Number.isFinite(max)) return 1
  const power = 10 ** Math.floor(Math.log10(max))
  const step = [1, 2, 5, 10].find((factor) => factor * power >= max * (1 - 1e-9)) ?? 10
  return step * power
}
