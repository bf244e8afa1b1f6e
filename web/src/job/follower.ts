/**
 * The log of the current job while it runs. The feed sends only new lines. A page that opens late, or was disconnected for a
 * moment, first reads the log so far and then continues where that log ends. If lines are missing in between, it reads them too. A
 * server that is not Asman sends messages without numbers. The page cannot find the position of their lines, so it reads the log
 * again if the server offers it.
 */
import { isObject } from "../definition/shape.ts"
import type { LogPart, LogStore } from "../log/store.ts"
import { readLines } from "../queue/frames.ts"
import { JoinedLines } from "../queue/joined.ts"
import type { LogLine, LogsMessage, Step } from "../wire.ts"
import { StageReader } from "./stage.ts"

/** Most answers that are read for one part: each contains many lines, and a server stores about 20 MiB of a job. */
const ANSWERS_MAX = 2_000
/** Most lines that wait while the log so far is read. Older ones are dropped, and read from the server later. */
const WAITING_MAX = 20_000
/** How often missing lines are read before they are reported as missing. */
const ROUNDS_MAX = 5

/** Reads JSON at a path below the queue. */
export type Read = (path: string, signal: AbortSignal) => Promise<unknown>

/** Some lines of one log, and the start of the next ones. */
export interface LogPage {
  readonly lines: readonly LogLine[]
  readonly next: number
  readonly isLast: boolean
}

/** Reads lines of a job's log after the first `since` lines. Undefined means that the server has no such log. */
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
  /** Ends the present read of the log so far. */
  #reading = new AbortController()
  readonly #lines = new JoinedLines()
  /** Whether the server has a readable log; undefined until the page has tried to read it. */
  #hasLog: boolean | undefined
  #signal: AbortSignal = AbortSignal.abort()
  #jobId = ""
  /** Messages that came while the log so far is being read; undefined while it is not being read. */
  #waiting: LogsMessage[] | undefined
  /** The progress of the image, until the run writes its first line. */
  readonly stages = new StageReader()

  constructor(log: LogStore, read: Read) {
    this.#log = log
    this.#read = read
  }

  /** Switches to a job; the signal ends all work for it. The lines stay until they are cleared. */
  follow(jobId: string, signal: AbortSignal): void {
    this.#jobId = jobId
    this.#signal = signal
    this.#waiting = undefined
    this.#hasLog = undefined
  }

  clear(): void {
    this.#reading.abort()
    this.#waiting = undefined
    this.#lines.restart()
    this.stages.clear()
    this.#log.clear()
  }

  /** Takes lines from the feed. Returns false if they are not needed: lines of another job, or of a step after the run. */
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

  /**
   * Reads the log so far, of both parts, and adds the messages that came in the meantime. If the server has no such log, nothing
   * changes.
   */
  async catchUp(): Promise<void> {
    if (!(await this.#fill([]))) return
    this.stages.clear()
    if (this.#log.count("run") === 0) this.stages.take(this.#linesOf("build"))
  }

  /**
   * Takes the log of a result: `run` are the last lines of the run, and `nOmitted` lines come before them. The build's log is read
   * unless the page shows it already.
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

  /** Reads the rest of the run's log; if lines are missing here, reads it from the beginning. Returns false if that fails. */
  async #readRest(signal: AbortSignal): Promise<boolean> {
    if (!this.#log.isWhole || this.#lines.seen("run") === 0) {
      this.#lines.restart("run")
      this.#log.replace("run", [])
    }
    return this.#readOn("run", signal)
  }

  /** Shows the lines of the result, if the server's log cannot be read. */
  #showEnd(run: readonly LogLine[], nOmitted: number): void {
    this.#log.replace("run", [])
    this.#log.note("run", nOmitted)
    this.#log.append("run", run)
  }

  /** Whether the lines of the message follow those here without a gap. */
  #isNext(message: LogsMessage): boolean {
    const { cursor, logs } = message
    return cursor === undefined ? this.#hasLog !== true : this.#lines.missing(partOf(message), logs.length, cursor) === 0
  }

  /** Appends the new lines of a message. Missing lines before it are reported. */
  #place(message: LogsMessage): void {
    const part = partOf(message)
    const { logs, cursor } = message
    const nMissing = cursor === undefined ? 0 : this.#lines.missing(part, logs.length, cursor)
    if (nMissing > 0) this.#log.note(part, nMissing)
    this.#log.append(part, this.#lines.take(part, logs, cursor))
  }

  /** Reads until the first waiting message continues where the log here ends. Returns false if a newer read has ended this one. */
  async #fill(first: LogsMessage[]): Promise<boolean> {
    // After a new connection the read starts again: the log contains the lines that were written between the two connections.
    this.#reading.abort()
    this.#reading = new AbortController()
    const signal = AbortSignal.any([this.#signal, this.#reading.signal])
    this.#waiting = [...(this.#waiting ?? []), ...first]
    for (let n = 0; n < ROUNDS_MAX; n++) {
      // The log is read after these messages came, so it contains the lines of those without a number.
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
    // Messages without a number are left out here: the log is read again with the next message, or when the job ends.
    for (const message of rest) if (message.cursor !== undefined || this.#hasLog === false) this.#place(message)
    return true
  }

  /** Reads the server's lines that follow those here, and appends them. Returns false if they could not be read. */
  async #readOn(part: LogPart, signal: AbortSignal): Promise<boolean> {
    try {
      for (let n = 0; n < ANSWERS_MAX; n++) {
        const page = await readLogPage(this.#read, this.#jobId, part, this.#lines.seen(part), signal)
        if (!page || signal.aborted) return false
        this.#log.append(part, this.#lines.take(part, page.lines, page.next))
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
      // The lines that were read until now are shown; a download reads the log again.
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

/** The newest messages that together contain no more lines than may wait. */
function bounded(messages: LogsMessage[]): LogsMessage[] {
  let n = messages.reduce((sum, { logs }) => sum + logs.length, 0)
  while (messages.length > 1 && n > WAITING_MAX) n -= messages.shift()!.logs.length
  return messages
}
