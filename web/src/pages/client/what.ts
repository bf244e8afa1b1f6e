import { plainLine } from "../../log/sanitise.ts"

const SHOWN_CHARS_MAX = 200

/** What a job is, in one line: its image and its command. Empty when neither is known. Members may be of any type. */
export function whatOf(job: Partial<Record<"image" | "command" | "build" | "isBuild" | "isItem", unknown>>): string {
  const { image, command, build, isBuild, isItem } = job
  if (isItem === true) return "item of the task-queue API"
  const source = typeof image === "string" && image !== "" ? image : build !== undefined || isBuild === true ? "built image" : ""
  const words = [source, typeof command === "string" ? command : ""].filter((word) => word !== "")
  return plainLine(words.join(" · ").slice(0, SHOWN_CHARS_MAX))
}
