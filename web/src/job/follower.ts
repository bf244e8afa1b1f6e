/**
 * The log of the current job while it runs. The socket tells only of new lines, so whoever comes late, or was away for a moment,
 * first reads the log so far and then goes on where it ends.
 *
 * Lines have numbers, the build's and the run's each for themselves, and a message says with which one it ends. So a line is shown
 * once however often it comes, a hole is seen and read, and no two lines are ever compared. A message without a number is of
 * another server: where the log can be read, it only says that there is more to be read.
 */
import { isObject } from "../definition/shape.ts"
import type { LogPart, LogStore } from "../log/store.ts"
import { readLines } from "../queue/frames.ts"
import type { LogLine, LogsMessage, Step } from "../wire.ts"
import { StageReader } from "./stage.ts"

/** Answers read of one part: each holds many lines, and some 20 MiB are kept of a job. */
const ANSWERS_MAX = 2_000
/** Lines that come while the log so far is read; those before them are read once more. */
const WAITING_MAX = 20_000
/** How often what is missing is read, before it is said to be missing. */
const ROUNDS_MAX = 5

/** Reads JSON at a path below the queue. */
export type Read = (path: string, signal: AbortSignal) => Promise<unknown>

/** Some lines of one log, and where the next ones begin. */
export interface LogPage {
  readonly lines: readonly LogLine[]
  readonly next: number
  readonly isLast: boolean
}

/** Reads lines of a job's log behind the first `since`. Undefined: the server has no such log. */
export async function readLogPage(
  read: Read, jobId: string, part: LogPart, since: number, signal: AbortSignal,
): Promise<LogPage | undefined> {
  const answer = await read(`j/${encodeURIComponent(jobId)}/${part}-logs.json?since=${since}`, signal)
  if (!isObject(answer)) return undefined
  const lines = readLines(answer.data)
  const isAhead = typeof answer.nextCursor === "number" && answer.nextCursor > since
  return { lines, next: isAhead ? answer.nextCursor as number : since + lines.length,
    isLast: !isAhead || answer.isFinal === true }
}

export class LogFollower {
  readonly #log: LogStore
  readonly #read: Read
  /** Ends the reading of the log so far that is under way. */
  #reading = new AbortController()
  /** How many lines of each log were taken, by the server's numbers. */
  #seen = { build: 0, run: 0 }
  /** Whether the server has a log that can be read, as far as that was tried. */
  #hasLog: boolean | undefined
  #signal: AbortSignal = AbortSignal.abort()
  #jobId = ""
  /** What came while the log so far is read, or undefined when none is read. */
  #waiting: LogsMessage[] | undefined
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
    this.#hasLog = undefined
  }

  clear(): void {
    this.#reading.abort()
    this.#waiting = undefined
    this.#seen = { build: 0, run: 0 }
    this.stages.clear()
    this.#log.clear()
  }

  /** Takes lines from the socket. Gives false when they are of no use: of another job, or of what follows the run. */
  take(message: LogsMessage): boolean {
    const { jobId, step, logs } = message
    if (jobId !== this.#jobId || step === "docker image push" || logs.length === 0) return false
    if (partOf(message) === "run") this.stages.clear()
    else this.stages.take(logs, step as Step)
    if (this.#waiting) this.#waiting = bounded([...this.#waiting, message])
    else if (this.#isNext(message)) this.#place(message)
    else void this.#fill([message])
    return true
  }

  /** Reads the log so far, of both parts, and joins what comes meanwhile. A server that has no such log changes nothing. */
  async catchUp(): Promise<void> {
    if (!(await this.#fill([]))) return
    this.stages.clear()
    if (this.#log.count("run") === 0) this.stages.take(this.#linesOf("build"))
  }

  /**
   * The run log as the result has it, now that there is one: its end, with so many lines before it. The build's log is read if
   * nobody saw it.
   */
  async finish(run: readonly LogLine[], nOmitted: number, hasBuild: boolean): Promise<void> {
    const signal = this.#signal
    this.#reading.abort()
    this.#waiting = undefined
    if (nOmitted === 0) this.#log.replace("run", run)
    else if (!(await this.#readRest(signal)) && !signal.aborted) this.#showEnd(run, nOmitted)
    if (hasBuild || signal.aborted) return
    const build = await this.#readAll("build", signal)
    if (!signal.aborted && build.length > 0) this.#log.replace("build", build)
  }

  /** Reads what is missing of the run, from the beginning where there are holes. Gives false when it cannot be read. */
  async #readRest(signal: AbortSignal): Promise<boolean> {
    if (!this.#log.isWhole || this.#seen.run === 0) {
      this.#seen.run = 0
      this.#log.replace("run", [])
    }
    return this.#readOn("run", signal)
  }

  /** What the result has, where no more can be read. */
  #showEnd(run: readonly LogLine[], nOmitted: number): void {
    this.#log.replace("run", [])
    this.#log.note("run", nOmitted)
    this.#log.append("run", run)
  }

  /** Whether the message goes on where the log here ends, or holds nothing new. */
  #isNext(message: LogsMessage): boolean {
    const { cursor, logs } = message
    return cursor === undefined ? this.#hasLog !== true : cursor - logs.length <= this.#seen[partOf(message)]
  }

  /** Appends what is new of a message. What is missing before it is said. */
  #place(message: LogsMessage): void {
    const part = partOf(message)
    const { logs } = message
    const seen = this.#seen[part]
    const end = message.cursor ?? seen + logs.length
    const first = end - logs.length
    if (end <= seen) return
    if (first > seen) this.#log.note(part, first - seen)
    this.#log.append(part, first < seen ? logs.slice(seen - first) : logs)
    this.#seen[part] = end
  }

  /** Reads on until all that came goes on where the log here ends. Gives false when it was ended by a newer reading. */
  async #fill(first: LogsMessage[]): Promise<boolean> {
    // A newer connection begins anew: what came between the two is in the log that is read now.
    this.#reading.abort()
    this.#reading = new AbortController()
    const signal = AbortSignal.any([this.#signal, this.#reading.signal])
    this.#waiting = [...(this.#waiting ?? []), ...first]
    for (let n = 0; n < ROUNDS_MAX; n++) {
      // Read after a message came, so a message without a number has told all that it can.
      const told = new Set(this.#waiting)
      const isRead = await this.#readOn("build", signal) && await this.#readOn("run", signal)
      if (signal.aborted || !this.#waiting) return false
      this.#hasLog = isRead
      const left: LogsMessage[] = this.#waiting.filter((message) => !(isRead && message.cursor === undefined && told.has(message)))
      while (left[0] && this.#isNext(left[0])) this.#place(left.shift()!)
      this.#waiting = left
      if (left.length === 0 || !isRead) break
    }
    const rest: LogsMessage[] = this.#waiting ?? []
    this.#waiting = undefined
    // The log that can be read is told again with the next message, or when the job ends.
    for (const message of rest) if (message.cursor !== undefined || this.#hasLog === false) this.#place(message)
    return true
  }

  /** Appends what the server has behind the lines here. Gives false when it could not be read. */
  async #readOn(part: LogPart, signal: AbortSignal): Promise<boolean> {
    try {
      for (let n = 0; n < ANSWERS_MAX; n++) {
        const page = await readLogPage(this.#read, this.#jobId, part, this.#seen[part], signal)
        if (!page || signal.aborted) return false
        this.#log.append(part, page.lines)
        this.#seen[part] = page.next
        if (page.isLast) break
      }
      return true
    } catch {
      return false
    }
  }

  async #readAll(part: LogPart, signal: AbortSignal): Promise<LogLine[]> {
    const lines: LogLine[] = []
    try {
      for (let n = 0, since = 0; n < ANSWERS_MAX; n++) {
        const page = await readLogPage(this.#read, this.#jobId, part, since, signal)
        for (const line of page?.lines ?? []) lines.push(line)
        if (!page || page.isLast) break
        since = page.next
      }
    } catch {
      // What was read is shown; the download reads again.
    }
    return lines
  }

  #linesOf(part: LogPart): LogLine[] {
    const lines: LogLine[] = []
    for (let at = 0; at < this.#log.length; at++) {
      const entry = this.#log.at(at)!
      if (entry.part === part && !entry.isNote) lines.push([entry.text, entry.time])
    }
    return lines
  }
}

function partOf({ step }: LogsMessage): LogPart {
  return step === "Running" ? "run" : "build"
}

/** The newest messages that together hold no more lines than may wait. */
function bounded(messages: LogsMessage[]): LogsMessage[] {
  let n = messages.reduce((sum, { logs }) => sum + logs.length, 0)
  while (messages.length > 1 && n > WAITING_MAX) n -= messages.shift()!.logs.length
  return messages
}
