import { isOthersFault } from "../../job/ending.ts"
import type { Fault } from "../../wire.ts"
import type { Phase } from "../../client/client.ts"
import type { Stage, StageKind } from "../../job/stage.ts"
import { plural } from "../../ui/format.ts"
import type { IconName } from "../../ui/icons.ts"

export type Tone = "soft" | "active" | "ok" | "warn" | "bad"

/** How a phase is shown: text, icon and colour. */
export interface Look {
  text: string
  icon: IconName
  tone: Tone
}

const LOOKS: Readonly<Record<Phase, Look>> = {
  "empty": { text: "No job yet", icon: "circle", tone: "soft" },
  "no-queue": { text: "No queue yet", icon: "queue", tone: "soft" },
  "ready": { text: "Ready to run", icon: "play", tone: "soft" },
  "uploading": { text: "Uploading files", icon: "again", tone: "active" },
  "submitting": { text: "Sending", icon: "again", tone: "active" },
  "queued": { text: "Queued", icon: "hourglass", tone: "active" },
  "building": { text: "Preparing the image", icon: "again", tone: "active" },
  "running": { text: "Running", icon: "again", tone: "active" },
  "loading": { text: "Loading the result", icon: "again", tone: "active" },
  "lost": { text: "Worker lost, retrying", icon: "warning", tone: "warn" },
  "succeeded": { text: "Succeeded", icon: "check", tone: "ok" },
  "failed": { text: "Failed", icon: "warning", tone: "warn" },
  "error": { text: "Could not run", icon: "warning", tone: "bad" },
  "timed-out": { text: "Timed out", icon: "clock", tone: "bad" },
  "cancelled": { text: "Stopped", icon: "stop", tone: "soft" },
  "replaced": { text: "Replaced by a newer job", icon: "cross", tone: "soft" },
}

/** The look of an end that is not the job's fault. It differs from the look of a failed job. */
const OTHERS_FAULT: Look = { text: "Not your job's fault: run it again", icon: "again", tone: "warn" }

/** The look of a phase. */
export function lookOf(phase: Phase, fault?: Fault): Look {
  return (phase === "error" || phase === "timed-out") && isOthersFault(fault) ? OTHERS_FAULT : LOOKS[phase]
}

/** Whether a job is active: it can be stopped. */
export function isActive(phase: Phase): boolean {
  return ["uploading", "submitting", "queued", "building", "running", "lost"].includes(phase)
}

/** Whether a job has ended by itself: it can run again. */
export function hasEnded(phase: Phase): boolean {
  return ["succeeded", "failed", "error", "timed-out"].includes(phase)
}

const STAGES: Readonly<Record<StageKind, { text: string; one: string }>> = {
  pull: { text: "Pulling the image", one: "layer" }, clone: { text: "Fetching the build's files", one: "" },
  build: { text: "Building the image", one: "step" }, push: { text: "Storing the built image", one: "" },
}

/** The worker's step before it can run the job. */
export function stageText({ kind }: Stage): string {
  return STAGES[kind].text
}

/** `3 of 7 layers`, `step 2 of 5`; empty if unknown. */
export function stageProgress({ kind, done, total }: Stage): string {
  if (total === 0) return ""
  return kind === "pull" ? `${done} of ${plural(total, STAGES.pull.one)}` : `${STAGES[kind].one} ${done} of ${total}`
}

/** The action of the page's main button. */
export type Action = "set-up" | "choose-queue" | "run" | "save-and-run" | "stop" | "run-again"

/** The action for a phase. `hasEdits` says whether there are edits that are not in the job yet. */
export function actionOf(phase: Phase, hasEdits: boolean): Action {
  if (isActive(phase)) return "stop"
  if (phase === "no-queue") return "choose-queue"
  if (hasEdits) return "save-and-run"
  if (phase === "empty") return "set-up"
  return hasEnded(phase) ? "run-again" : "run"
}

export const ACTIONS: Readonly<Record<Action, { text: string; icon: IconName }>> = {
  "set-up": { text: "Set up a job", icon: "gear" },
  "choose-queue": { text: "Choose a queue", icon: "queue" },
  "run": { text: "Run", icon: "play" },
  "save-and-run": { text: "Save and run", icon: "play" },
  "stop": { text: "Stop", icon: "stop" },
  "run-again": { text: "Run again", icon: "again" },
}
