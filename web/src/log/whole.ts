/** The server's whole log, for logs that are longer than the page keeps. */
import type { LogLine } from "../wire.ts"
import { PlainText } from "./entries.ts"
import type { LogPart } from "./store.ts"

/** Most answers of one part: each contains many lines, and a server stores about 20 MiB of a job's log. */
const ANSWERS_MAX = 2_000

/** Reads lines of one part after the first `since`, and the start of the next ones. Undefined: the server has no such log. */
export type ReadLines = (part: LogPart, since: number, signal: AbortSignal) =>
  Promise<{ readonly lines: readonly LogLine[]; readonly next: number; readonly isLast: boolean } | undefined>

/** Every line that the server has, as plain text. Rejects if the log cannot be read; undefined if there is no such log. */
export async function wholeText(
  read: ReadLines, signal: AbortSignal, time?: (epochMs: number) => string,
): Promise<Blob | undefined> {
  const text = new PlainText(time)
  for (const part of ["build", "run"] as const) {
    for (let n = 0, since = 0; n < ANSWERS_MAX; n++) {
      const page = await read(part, since, signal)
      if (!page) return undefined
      for (const [line, at, isStdErr] of page.lines) text.add({ part, text: line, time: at, isStdErr: isStdErr === true })
      if (page.isLast) break
      since = page.next
    }
  }
  return text.end()
}
