/**
 * The progress of a job's image, read from the output of the worker and its engine. A build command may print the same words, so
 * this is used only for display.
 */
import { plainLine } from "../log/sanitise.ts"
import type { LogLine, Step } from "../wire.ts"

export type StageKind = "pull" | "clone" | "build" | "push"

export interface Stage {
  readonly kind: StageKind
  /** The image, the repository or the build's step; empty if unknown. */
  readonly what: string
  /** Finished layers, or the number of the step; both 0 if unknown. */
  readonly done: number
  readonly total: number
}

const KINDS: Partial<Record<Step, StageKind>> = {
  "docker image pull": "pull", "cloning repo": "clone", "docker build": "build", "docker image push": "push",
}
/** The first line of each stage. It is used for logs that do not contain the step of each line. */
const BEGINNINGS: readonly (readonly [RegExp, StageKind])[] = [
  [/^(?:pulling|looking for) \S+$/, "pull"], [/^fetching \S+/, "clone"], [/^building \S+$/, "build"], [/^pushing \S+$/, "push"],
]
const IS_BUILT = /^\S+ was built before$/
const LAYER = /^([0-9a-f]{6,64}): (.+)$/
const IS_THERE = /^(?:Pull complete|Already exists)/
const STEP = /^Step (\d{1,4})\/(\d{1,4}) : (.*)$/
const LAYERS_MAX = 1_000
const WHAT_CHARS_MAX = 120

/** Follows the lines that one worker writes to the build log of a job. */
export class StageReader {
  stage: Stage | undefined
  /** Whether the container may run already: some workers use an image that was built before, and write no line about it. */
  mayBeOver = false
  /** When the last line was written, epoch milliseconds. */
  time = 0
  #image = ""
  readonly #layers = new Map<string, boolean>()

  clear(): void {
    this.stage = undefined
    this.mayBeOver = false
    this.#image = ""
    this.#layers.clear()
  }

  /** Takes lines of the build log. The socket sends the worker's step with them; the stored log does not contain it. */
  take(lines: readonly LogLine[], step?: Step): void {
    this.time = lines.at(-1)?.[1] ?? this.time
    for (const [text] of lines) this.#line(plainLine(text.slice(0, 2_000).trimEnd()).trimEnd(), step && KINDS[step])
  }

  #line(text: string, told: StageKind | undefined): void {
    if (IS_BUILT.test(text) && this.stage?.kind !== "build") return this.clear()
    const begun = BEGINNINGS.find(([beginning]) => beginning.test(text))?.[1]
    const now = this.stage?.kind
    // During a build most lines are the output of the build's commands, so such a line does not begin another stage.
    const guessed = now === "build" && begun !== "push" ? now : (begun ?? now ?? "build")
    const kind = told ?? guessed
    if (kind !== now || (kind === "pull" && begun === "pull")) this.#begin(kind)
    if (begun === kind && kind !== "build") this.#tell(text.slice(text.indexOf(" ") + 1).replace(/^for /, ""))
    this.mayBeOver = false
    if (kind === "pull") this.#pull(text)
    else if (kind === "build") this.#build(text)
    else if (kind === "clone") this.#clone(text)
    else if (/^(?:pushed |the image stays on this worker)/.test(text)) this.stage = undefined
  }

  #begin(kind: StageKind): void {
    this.stage = { kind, what: "", done: 0, total: 0 }
    this.#layers.clear()
  }

  #tell(what: string, done = 0, total = 0): void {
    if (this.stage) this.stage = { kind: this.stage.kind, what: what.slice(0, WHAT_CHARS_MAX), done, total }
  }

  #pull(text: string): void {
    const [, layer, state] = LAYER.exec(text) ?? []
    if (layer !== undefined && (this.#layers.has(layer) || this.#layers.size < LAYERS_MAX)) {
      this.#layers.set(layer, IS_THERE.test(state ?? ""))
      const nThere = [...this.#layers.values()].filter(Boolean).length
      this.#tell(this.stage?.what ?? "", nThere, this.#layers.size)
    }
    if (text.startsWith("Status: ")) this.stage = undefined
  }

  #clone(text: string): void {
    this.mayBeOver = text.startsWith("the commit is ")
  }

  #build(text: string): void {
    if (this.#image === "" && /^building \S+$/.test(text)) this.#image = text.slice("building ".length)
    const [, step, total, command] = STEP.exec(text) ?? []
    if (command !== undefined) this.#tell(command, Number(step), Number(total))
    // The engine leaves out the name of its default registry.
    const tagged = /^Successfully tagged (\S+)$/.exec(text)?.[1]
    if (tagged !== undefined && this.#image.endsWith(tagged)) this.stage = undefined
  }
}
