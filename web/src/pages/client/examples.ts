/**
 * The runnable examples of a first visit. Their texts are in `examples/` of the repository and are loaded with the first click.
 */
import type { Definition } from "../../wire.ts"

export interface Example {
  readonly id: string
  readonly title: string
  readonly text: string
}

export const EXAMPLES: readonly Example[] = [
  { id: "words", title: "Count words", text: "A script and a text go in, a table of word frequencies comes out." },
  { id: "sales", title: "Reduce a CSV file", text: "400 sales are grouped by shop: count, sum and mean." },
  { id: "progress", title: "Watch progress", text: "A long computation of pi draws a progress bar." },
]

/** A local server uses its own image without a registry; elsewhere a small public image is used. */
const LOCAL_IMAGE = "asman/demo"
const PUBLIC_IMAGE = "alpine:3.20"

/** The images of the examples that can run on this server. */
export function exampleImages(isLocal: boolean): string[] {
  return isLocal ? [LOCAL_IMAGE, PUBLIC_IMAGE] : [PUBLIC_IMAGE]
}

/** The job and the files of an example. Undefined when its texts could not be loaded. */
export async function loadExample(
  id: string, isLocal: boolean,
): Promise<{ job: Definition; inputs: Record<string, string> } | undefined> {
  const image = isLocal ? LOCAL_IMAGE : PUBLIC_IMAGE
  try {
    const texts = await import("./example-texts.ts")
    if (id === "words") {
      return { job: { image, command: "sh /inputs/words.sh book.txt" },
        inputs: { "words.sh": texts.wordsScript, "book.txt": texts.book } }
    }
    if (id === "sales") {
      return { job: { image, command: "sh /inputs/reduce.sh sales.csv" },
        inputs: { "reduce.sh": texts.salesScript, "sales.csv": texts.sales } }
    }
    return { job: { image, command: "sh /inputs/pi.sh 40" }, inputs: { "pi.sh": texts.piScript } }
  } catch {
    return undefined
  }
}

/** The queue for an example: the one of this machine, under its short name `local` if that means this server. */
export function localQueue(root: URL): string {
  return root.origin === "http://localhost:8000" ? "local" : new URL("local", root).href
}
