/** The results of two runs: their outputs side by side, and the differences at the ends of their logs. */
import type { PastRun } from "../../client/client.ts"
import { sha256Hex } from "../../definition/sha256.ts"
import { sourceOf, type Source } from "../../output/source.ts"
import { resolveQueue } from "../../queue/address.ts"
import { readJob } from "../../queue/frames.ts"
import type { DataRef, JobResult, LogLine } from "../../wire.ts"
import { ask } from "../shared/fetch.ts"
import { tokens } from "../shared/token.ts"
import { type DiffLine, diffOf } from "./line-diff.ts"

/** Most lines of each log that are compared, and most characters of a line. */
export const LOG_LINES_MAX = 2_000
const LINE_CHARS_MAX = 2_000
/** Most outputs that are shown. */
const OUTPUTS_MAX = 200
const STORED = /\/f\/([0-9a-f]{64})$/

/** A run's result, and the address of its files. */
export interface Outcome {
  readonly result: JobResult
  readonly base: string
  readonly token: string | undefined
}

export interface OutputPair {
  readonly name: string
  readonly is: "same" | "changed" | "not known" | "only earlier" | "only later"
  readonly before: Source | undefined
  readonly after: Source | undefined
}

/** Loads the result of a run from its server. If there is none, returns a sentence that says why. It never throws. */
export async function loadOutcome(run: PastRun, root: URL, signal: AbortSignal): Promise<Outcome | string> {
  let address
  try {
    address = resolveQueue({ queue: run.queue, queueOverride: "", ignoreQueueOverride: true }, root)
  } catch {
    address = undefined
  }
  if (!address) return "its queue is unknown"
  const token = tokens.get(address.url)
  const url = `${address.url}/j/${encodeURIComponent(run.id)}/result.json`
  const { data, failure } = await ask<{ data?: unknown } | undefined>(url, { token, signal })
  if (failure) return failure.kind === "away" ? "the server does not answer" : failure.text
  const result = readJob(data?.data)?.finished?.result
  return result ? { result, base: address.base, token } : "the server does not have its result"
}

/** The outputs of both runs in pairs, by their names. */
export function outputsBetween(before: Outcome, after: Outcome): OutputPair[] {
  const [a, b] = [before.result.outputs, after.result.outputs]
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().slice(0, OUTPUTS_MAX)
  return names.map((name) => {
    const [earlier, later] = [Object.hasOwn(a, name) ? a[name] : undefined, Object.hasOwn(b, name) ? b[name] : undefined]
    return {
      name, is: comparison(earlier, later), before: earlier && sourceOf(earlier, before.base),
      after: later && sourceOf(later, after.base),
    }
  })
}

function comparison(before: DataRef | undefined, after: DataRef | undefined): OutputPair["is"] {
  if (!before) return "only later"
  if (!after) return "only earlier"
  const [a, b] = [hashOf(before), hashOf(after)]
  return a === undefined || b === undefined ? "not known" : a === b ? "same" : "changed"
}

/** SHA-256 of the contents: computed if the bytes are here, otherwise from the address or from the worker's `hash`. */
function hashOf(ref: DataRef): string | undefined {
  const source = sourceOf(ref, "http://nowhere")
  if (source.bytes) return sha256Hex(source.bytes)
  return STORED.exec(source.url ?? "")?.[1] ?? ref.hash
}

/** The differences of the last lines of both logs; empty if they are equal. */
export function logsBetween(before: readonly LogLine[], after: readonly LogLine[]): DiffLine[] {
  const lines = diffOf(lastLines(before), lastLines(after))
  return lines.some(({ kind }) => kind === "gone" || kind === "new") ? lines : []
}

function lastLines(log: readonly LogLine[]): string[] {
  const lines = log.slice(-LOG_LINES_MAX).flatMap(([text]) => text.replace(/[\r\n]+$/, "").split(/\r*\n/))
  return lines.slice(-LOG_LINES_MAX).map((line) => line.slice(0, LINE_CHARS_MAX))
}
