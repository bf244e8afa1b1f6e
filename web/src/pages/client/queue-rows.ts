/** The jobs of the queue for the panel's list. */
import type { PastRun, QueueDetails } from "../../client/client.ts"
import { isLive } from "../../job/phase.ts"
import { plainLine } from "../../log/sanitise.ts"
import { durationText } from "../../ui/format.ts"
import type { Job } from "../../wire.ts"
import { standingOf, type Standing } from "../shared/reason.ts"
import { whatOf } from "../shared/what.ts"

const NAMES_MAX = 2
const NAME_CHARS_MAX = 40

export interface QueueRow {
  readonly id: string
  readonly job: Job
  readonly isActive: boolean
  /** Empty if neither the server nor this browser knows it. */
  readonly what: string
  readonly standing: Standing
  /** Why it waits, if the server says so. */
  readonly why: string
}

/** Which jobs count as "mine". */
export interface Owner {
  /** Ids of the runs that this browser sent to the queue. */
  readonly ids: ReadonlySet<string>
  /** The frame's own namespace; undefined for the default namespace, which everyone shares. */
  readonly namespace: string | undefined
}

export function ownerOf(history: readonly PastRun[], queue: string, namespace: unknown): Owner {
  const isOwn = typeof namespace === "string" && !["", "_", "*"].includes(namespace)
  return { ids: new Set(history.filter((run) => run.queue === queue).map(({ id }) => id)),
    namespace: isOwn ? namespace : undefined }
}

/** Whether this browser sent the job, or this frame's namespace holds it. */
export function isMine(id: string, job: Job, { ids, namespace }: Owner): boolean {
  return ids.has(id) || (namespace !== undefined && job.namespaces.includes(namespace))
}

/** All jobs: first the running ones, then the waiting ones, then the ended ones; in each group the newest comes first. */
export function rowsOf(jobs: Readonly<Record<string, Job>>, details: QueueDetails, history: readonly PastRun[]): QueueRow[] {
  const waiting = Object.entries(jobs).filter(([, job]) => job.state === "Queued")
  const order = waiting.sort(([, a], [, b]) => a.queuedTime - b.queuedTime).map(([id]) => id)
  const counted = new Map(order.map((id, at) => [id, at + 1]))
  const known = new Map(history.map((run) => [run.id, run.definition]))
  const row = ([id, job]: [string, Job]): QueueRow => {
    const place = details.positions.get(id)
    const position = place?.position || counted.get(id)
    const brief = details.briefs.get(id)
    const hasEnd = brief?.isFinished === true && brief.queuedTime === job.queuedTime
    const standing = standingAt(job, hasEnd ? (brief.code ?? 0) : undefined)
    const text = position === undefined ? standing.text : `Waiting, ${position} of ${Math.max(position, order.length)}`
    return {
      id, job, standing: { ...standing, text }, isActive: isLive(job),
      what: whatOf(brief ?? known.get(id) ?? {}),
      why: job.state === "Queued" ? plainLine(place?.why ?? "") : "",
    }
  }
  const rank = ({ state }: Job): number => (state === "Running" ? 0 : state === "Queued" ? 1 : 2)
  return Object.entries(jobs).sort(([, a], [, b]) => rank(a) - rank(b) || b.queuedTime - a.queuedTime).map(row)
}

/** The state for the list. Only the exit code shows whether a finished program succeeded, and not every server sends it here. */
function standingAt({ state, finishedReason }: Job, code: number | undefined): Standing {
  const isOpen = state === "Finished" && finishedReason === "Success" && code === undefined
  return isOpen ? { text: "Ended", tone: "none", icon: "check" } : standingOf(state, finishedReason, code)
}

/** The owners of a job, for people. Everyone who names no namespace shares the default namespace. */
export function ownerText(namespaces: readonly string[]): string {
  if (namespaces.length === 0) return "nobody"
  const names = namespaces.slice(0, NAMES_MAX).map(nameText)
  const nMore = namespaces.length - names.length
  return names.join(", ") + (nMore > 0 ? ` and ${nMore} more` : "")
}

function nameText(namespace: string): string {
  if (namespace === "_" || namespace === "") return "anyone"
  return namespace === "*" ? "everybody" : plainLine(namespace.slice(0, NAME_CHARS_MAX))
}

/** For how long a job has been waiting or running, or how long ago it ended. */
export function ageText(job: Job, now: number): string {
  const since = durationText(now - (job.state === "Queued" ? job.queuedTime : job.time))
  return isLive(job) ? `for ${since}` : `${since} ago`
}
