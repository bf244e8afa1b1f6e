/** Suggestions for images. They come from data that the page has already, without a request. */
import type { PastRun, QueueDetails } from "../../client/client.ts"
import { imageProblem } from "./validate.ts"

const SUGGESTED_MAX = 50

/** Images of this browser's runs, of the queue's jobs and of the examples, in this order, each once. */
export function suggestedImages(
  history: readonly PastRun[], briefs: QueueDetails["briefs"], examples: readonly string[],
): string[] {
  const ofQueue = [...briefs.values()].map(({ image }) => image)
  const found = [...history.map(({ definition }) => definition.image), ...ofQueue, ...examples]
  const sound = found.filter((image): image is string => typeof image === "string" && imageProblem(image) === "")
  return [...new Set(sound)].slice(0, SUGGESTED_MAX)
}

/** The Docker Hub search for the typed name: without the registry, the tag and the digest. */
export function hubSearch(image: string): string {
  const parts = image.trim().split("/")
  const hasRegistry = parts.length > 1 && /[.:]|^localhost$/.test(parts[0] ?? "")
  const name = parts.slice(hasRegistry ? 1 : 0).join("/").replace(/[:@].*$/, "")
  return `https://hub.docker.com/search?type=image${name === "" ? "" : `&q=${encodeURIComponent(name.slice(0, 200))}`}`
}
