import { plainLine } from "../../log/sanitise.ts"

const SHOWN_CHARS_MAX = 200

/**
 * A job's description in one line: its image and its command. If a job has both an image and a build, the worker runs the build.
 * Empty if neither is known. Members may have any type.
 */
export function whatOf(job: Partial<Record<"image" | "command" | "build" | "isBuild" | "isItem", unknown>>): string {
  const { image, command, build, isBuild, isItem } = job
  if (isItem === true) return "item of the task-queue API"
  const isNamed = typeof image === "string" && image !== ""
  const hasBuild = isBuild === true || saysHow(build) || (build !== undefined && !isNamed)
  const source = hasBuild ? "built image" : isNamed ? image : ""
  const words = [source, typeof command === "string" ? command : ""].filter((word) => word !== "")
  return plainLine(words.join(" · ").slice(0, SHOWN_CHARS_MAX))
}

/** Whether a build says what to build; workers ignore a build that does not. */
function saysHow(build: unknown): boolean {
  const { dockerfile, context } = (build ?? {}) as Record<string, unknown>
  return [dockerfile, context].some((text) => typeof text === "string" && text.trim() !== "")
}
