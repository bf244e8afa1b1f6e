/** Derives a job's phase from what is known about it. */
import type { Phase } from "../client/client.ts"
import type { Job, JobResult } from "../wire.ts"

export interface Knowledge {
  readonly isRunnable: boolean
  readonly hasQueue: boolean
  /** Whether a run was requested here and the server has not shown it yet. */
  readonly isSubmitting: boolean
  readonly isUploading: boolean
  readonly record: Job | undefined
  readonly result: JobResult | undefined
  /** Whether the result could not be loaded. */
  readonly hasNoResult: boolean
  /** Whether the last log line came from a pull or a build. */
  readonly isBuilding: boolean
}

export function phaseOf(known: Knowledge): Phase {
  if (!known.isRunnable) return "empty"
  if (!known.hasQueue) return "no-queue"
  if (known.isUploading) return "uploading"
  if (known.isSubmitting) return "submitting"
  const { record } = known
  switch (record?.state) {
    case undefined:
    case "Removed": return "ready"
    case "Queued": return "queued"
    case "Running": return known.isBuilding ? "building" : "running"
    case "Finished": return ended(known, record)
  }
}

function ended({ result, hasNoResult }: Knowledge, record: Job): Phase {
  switch (record.finishedReason) {
    case "Success":
      if (!result && !hasNoResult) return "loading"
      return (result?.StatusCode ?? 0) === 0 ? "succeeded" : "failed"
    case "TimedOut": return "timed-out"
    case "Cancelled": return "cancelled"
    case "WorkerLost": return "lost"
    case "JobReplacedByClient": return "replaced"
    case "Deleted": return "ready"
    default: return "error"
  }
}

/** Whether a job with this record has a result. */
export function hasResult(record: Job | undefined): record is Job {
  const reason = record?.finishedReason
  return record?.state === "Finished" && (reason === "Success" || reason === "Error" || reason === "TimedOut")
}

/** Whether the job waits or runs. */
export function isLive(record: Job | undefined): boolean {
  return record?.state === "Queued" || record?.state === "Running"
}

/** Whether a worker runs the job or will run it. */
export function isActive(record: Job | undefined): boolean {
  return isLive(record) || record?.finishedReason === "WorkerLost"
}
