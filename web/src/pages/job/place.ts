/** The position of a waiting job in its queue, and what it needs of a worker. */
import { readWaiting, type Waiting } from "../../job/explain.ts"
import { plainLine } from "../../log/sanitise.ts"
import { bytesText, plural } from "../../ui/format.ts"
import type { Job } from "../../wire.ts"
import { ask } from "../shared/fetch.ts"

/** Pause between requests. */
const LOOK_MS = 4_000
const TAGS_MAX = 10

/**
 * Polls the queue at `queueUrl` for a job's position and reports it, until the returned function is called. If the server does not
 * have this route, it is not asked again.
 */
export function watchPlace(
  queueUrl: string, id: string, token: string | undefined, tell: (waiting: Waiting | undefined) => void,
): () => void {
  const stop = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const look = async (): Promise<void> => {
    const answer = await ask<unknown>(`${queueUrl}/status`, { token, signal: stop.signal })
    if (stop.signal.aborted) return
    if (!answer.failure) tell(readWaiting(answer.data, id))
    if (!answer.failure || answer.failure.kind === "away") timer = setTimeout(() => void look(), LOOK_MS)
  }
  void look()
  return () => {
    clearTimeout(timer)
    stop.abort()
  }
}

/** What a job needs of its worker, in a sentence; empty when it needs nothing special. */
export function needsText({ requirements = {}, tags = [] }: Pick<Job, "requirements" | "tags">): string {
  const { cpus, gpus, memory } = requirements
  const needs = [
    gpus !== undefined && gpus > 0 && plural(gpus, "GPU"),
    cpus !== undefined && cpus > 0 && plural(cpus, "CPU"),
    memory !== undefined && `${typeof memory === "number" ? bytesText(memory) : String(memory).slice(0, 20)} of memory`,
    tags.length > 0 && `the ${tags.length === 1 ? "tag" : "tags"} ${tags.slice(0, TAGS_MAX).join(", ")}`,
  ].filter((need) => need !== false)
  return needs.length === 0 ? "" : plainLine(`It needs ${needs.join(", ")}.`.slice(0, 500))
}
