/** Loads the result of a finished job. */
import { isObject } from "../definition/shape.ts"
import { readJob } from "../queue/frames.ts"
import type { Job, JobResult } from "../wire.ts"
import type { Read } from "./follower.ts"

/** Most requests for a result that is not there yet, and the pause between them. */
const TRIES_MAX = 5
const WAIT_MS = 1_000

/** How many lines of the run's log a result leaves out. A result contains only the end of a long log. */
export function omittedLines({ logsOmitted }: JobResult): number {
  const n = logsOmitted?.lines ?? 0
  return Number.isSafeInteger(n) && n > 0 ? n : logsOmitted ? 1 : 0
}

/** The record with its result; undefined if there is none after all tries. Rejects with a `Refusal` if the server refuses. */
export async function loadResult(read: Read, id: string, signal: AbortSignal): Promise<Job | undefined> {
  for (let n = 0; n < TRIES_MAX && !signal.aborted; n++) {
    const answer = await read(`j/${encodeURIComponent(id)}/result.json`, signal)
    const job = isObject(answer) ? readJob(answer.data) : undefined
    if (job?.finished) return job
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
  }
  return undefined
}
