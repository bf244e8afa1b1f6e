import type { IconName } from "../../ui/icons.ts"
import { isOthersFault } from "../../job/ending.ts"
import type { Fault, Reason, JobState } from "../../wire.ts"

/** The state of a job, for people. */
export interface Standing {
  readonly text: string
  readonly tone: "wait" | "run" | "ok" | "warn" | "bad" | "none"
  readonly icon: IconName
}

const ENDS: Readonly<Record<Reason, Standing>> = {
  Success: { text: "Succeeded", tone: "ok", icon: "check" },
  Error: { text: "Could not run", tone: "bad", icon: "warning" },
  TimedOut: { text: "Timed out", tone: "bad", icon: "clock" },
  Cancelled: { text: "Cancelled", tone: "none", icon: "cross" },
  WorkerLost: { text: "Worker lost", tone: "bad", icon: "warning" },
  JobReplacedByClient: { text: "Replaced by a newer job", tone: "none", icon: "again" },
  Deleted: { text: "Result removed", tone: "none", icon: "trash" },
}

/** The state of a job as text, colour and icon. A state that this version does not know is shown under its own name. */
export function standingOf(state: JobState | undefined, reason?: Reason, statusCode?: number, fault?: Fault): Standing {
  if (state === "Finished" && reason !== "Success" && isOthersFault(fault)) {
    return { text: "Not the job's fault: run it again", tone: "warn", icon: "again" }
  }
  if (state === "Queued") return { text: "Waiting", tone: "wait", icon: "hourglass" }
  if (state === "Running") return { text: "Running", tone: "run", icon: "circle" }
  if (reason === "Success" && statusCode !== undefined && statusCode !== 0) {
    return { text: `Failed with exit code ${statusCode}`, tone: "warn", icon: "warning" }
  }
  const known = reason && Object.hasOwn(ENDS, reason) ? ENDS[reason] : undefined
  return known ?? { text: String(reason ?? state ?? "Unknown"), tone: "none", icon: "help" }
}
