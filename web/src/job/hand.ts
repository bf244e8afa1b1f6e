/** How a job is handed to the queue: by the socket, and by a request where the socket cannot or stays silent. */
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import type { Settled } from "../definition/settle.ts"
import { isObject } from "../definition/shape.ts"
import { readJob } from "../queue/frames.ts"
import { letGo, type Queue } from "../queue/queue.svelte.ts"
import { Refusal } from "../queue/requests.ts"
import type { Control, EnqueueJob, Job, StateChange } from "../wire.ts"
import { hasResult } from "./phase.ts"

/** A server takes no larger message on a socket; its frame has some more around it. */
const SOCKET_CHARS_MAX = 300_000
/** Between requests for what the socket does not confirm. */
const AGAIN_MS = 5_000
/**
 * Between looks whether the server threw an old record away, how often the delete is looked for, and after how many it is sent
 * again.
 */
const RELEASE_MS = 250
const LOOKS_MAX = 24
const LOOKS_PER_DELETE = 8

/** What the submission is made of, beside the definition. */
export interface Terms {
  readonly control: Control | undefined
  readonly isDebug: boolean
  readonly maxJobDuration: string
}

/**
 * The control that is sent: the parameter to the letter, with a namespace, and with the longest run where nothing else says it.
 */
export function controlOf({ control, maxJobDuration }: Terms, jobMaxDuration: unknown): Control {
  const namespace = control?.namespace || "_"
  const hasOther = control?.maxDuration !== undefined
    || (jobMaxDuration !== undefined && jobMaxDuration !== null && jobMaxDuration !== "")
  // In the control and not in the definition: there it would change the ids of existing links.
  return maxJobDuration !== "" && !hasOther ? { ...control, namespace, maxDuration: maxJobDuration } : { ...control, namespace }
}

/** The change that submits a job; `isAgain`: also where it ended before. */
export function submissionOf({ id, definition }: Settled, terms: Terms, isAgain = false): StateChange {
  const control = { ...controlOf(terms, definition.maxDuration), ...(isAgain && { again: true }) }
  const enqueued: EnqueueJob = { id, definition, control, ...(terms.isDebug && { debug: true }) }
  return { state: "Queued", value: { type: "Queued", time: Date.now(), enqueued }, job: id, tag: "" }
}

/** Whether the server of a record takes `again`: one that says whose fault an end is. Others throw the record away first. */
export function takesAgain(old: Job | undefined): boolean {
  return old?.finished?.fault !== undefined
}

/**
 * Hands a job to the queue's socket; `old` is its record where it ran before and is to run again. Gives false, and sends nothing,
 * when it is too large for a socket: then it has to go by request, after `release`.
 */
export function hand(queue: Queue, change: StateChange, old: Job | undefined, namespace: string): boolean {
  if (JSON.stringify(change).length > SOCKET_CHARS_MAX) return false
  queue.outbox.post([...(old && !takesAgain(old) ? [letGo(change.job, "Deleted", namespace)] : []), change], old)
  return true
}

/**
 * Has the server throw away the old record of a job, and waits until it says by request that it did: socket and requests have no
 * order between them, so a job that is posted before might be answered with its old result. Waits for as long as the socket is
 * not open. Gives false when the server keeps the record, or the signal fired.
 */
export async function release(queue: Queue, id: string, old: Job, namespace: string, signal: AbortSignal): Promise<boolean> {
  for (let n = 0; n < LOOKS_MAX && !signal.aborted;) {
    // What is owed is sent by itself when the socket opens; what got lost on the way is sent again.
    if (n % LOOKS_PER_DELETE === 0) queue.outbox.post([letGo(id, "Deleted", namespace)], old)
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
 * Submits by request, which says why where it is refused, until the server answers or the signal fires. Sending a job again is
 * harmless: it runs once. One that is to run again, after `old`, is looked for first: it may have run by now.
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
        "It is sent again by itself.")
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
  return { is: "given-up" }
}

/** The server's record of one job, whatever its state; undefined when there is none or the server does not say. */
export async function recordOf(queue: Queue, id: string, signal: AbortSignal): Promise<Job | undefined> {
  return recordIn(await queue.read(`j/${encodeURIComponent(id)}`, signal).catch(() => undefined))
}

function recordIn(answer: unknown): Job | undefined {
  const data = isObject(answer) ? answer.data : undefined
  return isObject(data) ? readJob(data.results) : undefined
}
