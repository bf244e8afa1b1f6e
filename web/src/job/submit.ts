/** Submits a job to the queue: by the socket, or by a request if the socket cannot send it or does not confirm it. */
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import type { ResolvedDefinition } from "../definition/resolve.ts"
import { isObject } from "../definition/shape.ts"
import { readJob } from "../queue/frames.ts"
import { endChange, type Queue } from "../queue/queue.svelte.ts"
import { Refusal } from "../queue/requests.ts"
import type { Control, EnqueueJob, Job, StateChange } from "../wire.ts"
import { hasResult } from "./phase.ts"

/** A server accepts no larger message on a socket; the frame adds a little. */
const SOCKET_CHARS_MAX = 300_000
/** Pause between requests for a change that the socket does not confirm. */
const AGAIN_MS = 5_000
/**
 * Pause between checks whether the server has removed an old record, the number of checks, and after how many the delete is sent
 * again.
 */
const RELEASE_MS = 250
const LOOKS_MAX = 24
const LOOKS_PER_DELETE = 8

/** The parts of a submission in addition to the definition. */
export interface Terms {
  readonly control: Control | undefined
  readonly isDebug: boolean
  readonly maxJobDuration: string
}

/**
 * The control that is sent: the parameter unchanged, with a namespace, and with the longest run if it is not set elsewhere.
 */
export function controlOf({ control, maxJobDuration }: Terms, jobMaxDuration: unknown): Control {
  const namespace = control?.namespace || "_"
  const hasOther = control?.maxDuration !== undefined
    || (jobMaxDuration !== undefined && jobMaxDuration !== null && jobMaxDuration !== "")
  // In the control and not in the definition, where it would change the ids of existing links.
  return maxJobDuration !== "" && !hasOther ? { ...control, namespace, maxDuration: maxJobDuration } : { ...control, namespace }
}

/** The change that submits a job; `isAgain`: also if it ended before. */
export function submissionOf({ id, definition }: ResolvedDefinition, terms: Terms, isAgain = false): StateChange {
  const control = { ...controlOf(terms, definition.maxDuration), ...(isAgain && { again: true }) }
  const enqueued: EnqueueJob = { id, definition, control, ...(terms.isDebug && { debug: true }) }
  return { state: "Queued", value: { type: "Queued", time: Date.now(), enqueued }, job: id, tag: "" }
}

/**
 * Whether the server of a record supports `again`: a server that reports whose fault an end is. On other servers the record must
 * be removed first.
 */
export function takesAgain(old: Job | undefined): boolean {
  return old?.finished?.fault !== undefined
}

/**
 * Submits a job by the queue's socket; `old` is its record if it ran before and should run again. Returns false, and sends
 * nothing, if it is too large for a socket: then it must be sent by request, after `removeOldRecord`.
 */
export function submit(queue: Queue, change: StateChange, old: Job | undefined, namespace: string): boolean {
  if (JSON.stringify(change).length > SOCKET_CHARS_MAX) return false
  queue.outbox.post([...(old && !takesAgain(old) ? [endChange(change.job, "Deleted", namespace)] : []), change], old)
  return true
}

/**
 * Removes the old record of a job on the server, and waits until a request shows that it is gone. Socket and requests are not
 * ordered, so a job that is posted earlier might be answered with its old result. It waits for as long as the socket is closed.
 * Returns false if the server keeps the record, or the signal fired.
 */
export async function removeOldRecord(queue: Queue, id: string, old: Job, namespace: string, signal: AbortSignal): Promise<boolean> {
  for (let n = 0; n < LOOKS_MAX && !signal.aborted;) {
    // Pending changes are sent when the socket opens; lost ones are sent again.
    if (n % LOOKS_PER_DELETE === 0) queue.outbox.post([endChange(id, "Deleted", namespace)], old)
    do await new Promise((resolve) => setTimeout(resolve, RELEASE_MS))
    while (queue.connection !== "open" && !signal.aborted)
    if (!signal.aborted && (await isReleased(queue, id, old, signal))) return !signal.aborted
    n++
  }
  return false
}

async function isReleased(queue: Queue, id: string, old: Job, signal: AbortSignal): Promise<boolean> {
  try {
    const record = recordIn(await queue.read(`j/${encodeURIComponent(id)}`, signal))
    return !hasResult(record) || record.queuedTime !== old.queuedTime
  } catch (error) {
    return error instanceof Refusal && error.status === 404
  }
}

export type Confirmed =
  | { readonly is: "there"; readonly record: Job | undefined }
  | { readonly is: "refused"; readonly why: string }
  | { readonly is: "given-up" }

/**
 * Submits by request, which reports the reason of a refusal, until the server answers or the signal fires. Sending a job again is
 * harmless: it runs once. If a job should run again after `old`, its record is checked first: it may have run by now.
 */
export async function confirm(
  queue: Queue, job: EnqueueJob, old: Job | undefined, problems: Problems, signal: AbortSignal,
): Promise<Confirmed> {
  while (!signal.aborted) {
    const now = job.control?.again ? await recordOf(queue, job.id!, signal) : undefined
    if (now && old && now.queuedTime > old.queuedTime) return { is: "there", record: now }
    try {
      await queue.post(job)
      problems.clear("submit")
      return { is: "there", record: await recordOf(queue, job.id!, signal) }
    } catch (error) {
      const { status } = error as Refusal
      const isFinal = error instanceof Refusal && status >= 400 && status < 500 && status !== 429 && status !== 404
        && status !== 405
      if (isFinal) return { is: "refused", why: sentenceOf(error) }
      if (!signal.aborted) problems.say("submit", `The queue does not confirm the job: ${sentenceOf(error)}.`,
        "It will be sent again automatically.")
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
  return { is: "given-up" }
}

/** The server's record of one job in any state; undefined if there is none or the server does not say. */
export async function recordOf(queue: Queue, id: string, signal: AbortSignal): Promise<Job | undefined> {
  return recordIn(await queue.read(`j/${encodeURIComponent(id)}`, signal).catch(() => undefined))
}

function recordIn(answer: unknown): Job | undefined {
  const data = isObject(answer) ? answer.data : undefined
  return isObject(data) ? readJob(data.results) : undefined
}
