import { plainLine } from "../../log/sanitise.ts"

const SHOWN_CHARS_MAX = 200

/**
 * What a job is, in one line: its image and its command. Of a job with both an image and a build the worker runs what it builds.
 * Empty when neither is known. Members may be of any type.
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

/** Whether a build says what to build; one that does not counts for workers as none. */
function saysHow(build: unknown): boolean {
  const { dockerfile, context } = (build ?? {}) as Record<string, unknown>
  return [dockerfile, context].some((text) => typeof text === "string" && text.trim() !== "")
}
