/**
 * The log of the current job while it runs. The socket tells only of new lines, so whoever comes late, or was away for a moment,
 * first reads the log so far and then goes on where it ends.
 */
import { isObject } from "../definition/shape.ts"
import type { LogPart, LogStore } from "../log/store.ts"
import { LINES_MAX, readLines } from "../queue/frames.ts"
import type { LogLine, LogsMessage, Step } from "../wire.ts"
import { StageReader } from "./stage.ts"

/** Answers read of one part: each holds many lines, and 10 MiB are kept of a job. */
const ANSWERS_MAX = 2_000
/** Lines that come while the log so far is read; older ones are in what is read. */
const WAITING_MAX = 20_000

/** Reads JSON at a path below the queue. */
export type Read = (path: string, signal: AbortSignal) => Promise<unknown>

export class LogFollower {
  readonly #log: LogStore
  readonly #read: Read
  /** Ends the reading of the log so far that is under way. */
  #reading = new AbortController()
  /** The end of what was read, as far as the socket may still tell it: it says a line a moment after the log has it. */
  #untold = { build: [] as readonly LogLine[], run: [] as readonly LogLine[] }
  #signal: AbortSignal = AbortSignal.abort()
  #jobId = ""
  /** Lines that came while the log so far is read, or undefined when none is read. */
  #waiting: Record<LogPart, LogLine[]> | undefined
  /** How far the image is, until the run writes its first line. */
  readonly stages = new StageReader()

  constructor(log: LogStore, read: Read) {
    this.#log = log
    this.#read = read
  }

  /** Turns to a job; the signal ends what is under way for it. The lines stay until they are cleared. */
  follow(jobId: string, signal: AbortSignal): void {
    this.#jobId = jobId
    this.#signal = signal
    this.#waiting = undefined
    this.#untold = { build: [], run: [] }
  }

  clear(): void {
    this.#waiting = undefined
    this.stages.clear()
    this.#log.clear()
  }

  /** Takes lines from the socket. Gives false when they are of no use: of another job, or of what follows the run. */
  take({ jobId, step, logs }: LogsMessage): boolean {
    if (jobId !== this.#jobId || step === "docker image push" || logs.length === 0) return false
    const part = step === "Running" ? "run" : "build"
    if (part === "run") this.stages.clear()
    else this.stages.take(logs, step as Step)
    if (this.#waiting) this.#waiting[part] = [...this.#waiting[part], ...logs].slice(-WAITING_MAX)
    else this.#log.append(part, this.#fresh(part, logs))
    return true
  }

  /** Reads the log so far, of both parts, and joins what comes meanwhile. A server that has no such log changes nothing. */
  async catchUp(): Promise<void> {
    // A newer connection begins anew: what came between the two is in the log that is read now.
    this.#reading.abort()
    this.#reading = new AbortController()
    const signal = AbortSignal.any([this.#signal, this.#reading.signal])
    const waiting = { build: [] as LogLine[], run: [] as LogLine[] }
    this.#waiting = waiting
    const build = await this.#readAll("build", signal)
    const run = await this.#readAll("run", signal)
    if (signal.aborted || this.#waiting !== waiting) return
    this.#untold = { build: untold(build, waiting.build), run: untold(run, waiting.run) }
    this.#waiting = undefined
    const all = this.#join("build", build, waiting.build)
    this.#join("run", run, waiting.run)
    this.stages.clear()
    if (!run?.length && waiting.run.length === 0) this.stages.take(all)
  }

  /** The whole run log, now that it is known. The build's log is read if nobody saw it. */
  async finish(run: readonly LogLine[], hasBuild: boolean, isPart = false): Promise<void> {
    const signal = this.#signal
    this.#waiting = undefined
    // Of a long log the result holds the end alone, and no more of it was taken than fits.
    const whole = !isPart && run.length < LINES_MAX ? run : await this.#readAll("run", signal)
    if (signal.aborted) return
    if (whole) this.#log.replace("run", whole)
    else if (this.#log.count("run") < run.length) this.#log.replace("run", run)
    if (hasBuild) return
    const build = await this.#readAll("build", signal)
    if (!signal.aborted && build?.length) this.#log.replace("build", build)
  }

  /** Gives all lines of the part, as far as they are known here. */
  #join(part: LogPart, soFar: LogLine[] | undefined, later: LogLine[]): LogLine[] {
    const all = soFar ? [...soFar, ...later.slice(overlap(soFar, later))] : later
    if (soFar) this.#log.replace(part, all)
    else this.#log.append(part, later)
    return all
  }

  async #readAll(part: LogPart, signal: AbortSignal): Promise<LogLine[] | undefined> {
    const lines: LogLine[] = []
    let since = 0
    try {
      for (let n = 0; n < ANSWERS_MAX; n++) {
        const answer = await this.#read(`j/${encodeURIComponent(this.#jobId)}/${part}-logs.json?since=${since}`, signal)
        if (!isObject(answer)) return undefined
        for (const line of readLines(answer.data)) lines.push(line)
        const next = answer.nextCursor
        if (typeof next !== "number" || next <= since || answer.isFinal === true) break
        since = next
      }
    } catch {
      return lines.length > 0 ? lines : undefined
    }
    return lines
  }

  /** The lines that are not in what was read. */
  #fresh(part: LogPart, lines: readonly LogLine[]): readonly LogLine[] {
    const read = this.#untold[part]
    this.#untold[part] = untold(read, lines)
    return lines.slice(overlap(read, lines))
  }
}

/** How many of the first lines of `later` are in `soFar`, from some place there up to the end of either. */
export function overlap(soFar: readonly LogLine[], later: readonly LogLine[]): number {
  const at = placeOf(soFar, later)
  return at === undefined ? 0 : Math.min(soFar.length - at, later.length)
}

/** What of `soFar` follows the lines that are told now, and may be told next. */
function untold(soFar: readonly LogLine[] | undefined, told: readonly LogLine[]): readonly LogLine[] {
  const at = soFar && placeOf(soFar, told)
  return at === undefined ? [] : soFar!.slice(Math.max(at + told.length, soFar!.length - WAITING_MAX))
}

function placeOf(soFar: readonly LogLine[], later: readonly LogLine[]): number | undefined {
  const first = later[0]
  if (!first) return 0
  for (let at = 0; at < soFar.length; at++) {
    if (!isSame(soFar[at]!, first)) continue
    if (later.slice(0, soFar.length - at).every((line, i) => isSame(soFar[at + i]!, line))) return at
  }
  return undefined
}

function isSame(a: LogLine, b: LogLine): boolean {
  return a[0] === b[0] && a[1] === b[1] && (a[2] ?? false) === (b[2] ?? false)
}
