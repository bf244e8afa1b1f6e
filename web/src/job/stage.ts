/**
 * How far a worker is with a job's image, read from what it and its engine write. A command of a build may write the same words:
 * nothing but what is shown follows from them.
 */
import { plainLine } from "../log/sanitise.ts"
import type { LogLine, Step } from "../wire.ts"

export type StageKind = "pull" | "clone" | "build" | "push"

export interface Stage {
  readonly kind: StageKind
  /** The image, the repository or the build's step; empty where it is not told. */
  readonly what: string
  /** Layers that are here, or the number of the step; both 0 where they are not known. */
  readonly done: number
  readonly total: number
}

const KINDS: Partial<Record<Step, StageKind>> = {
  "docker image pull": "pull", "cloning repo": "clone", "docker build": "build", "docker image push": "push",
}
/** How a worker begins a stage, for logs that do not tell the step of a line. */
const BEGINNINGS: readonly (readonly [RegExp, StageKind])[] = [
  [/^(?:pulling|looking for) \S+$/, "pull"], [/^fetching \S+/, "clone"], [/^building \S+$/, "build"], [/^pushing \S+$/, "push"],
]
const IS_BUILT = /^\S+ was built before$/
const LAYER = /^([0-9a-f]{6,64}): (.+)$/
const IS_THERE = /^(?:Pull complete|Already exists)/
const STEP = /^Step (\d{1,4})\/(\d{1,4}) : (.*)$/
const LAYERS_MAX = 1_000
const WHAT_CHARS_MAX = 120

/** Follows the lines of one claim's build log. */
export class StageReader {
  stage: Stage | undefined
  /** Nothing has to follow before the container runs: other workers take an image that was built before without a word. */
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

  /** Takes lines of the build log. The socket tells what the worker was doing, the stored log does not. */
  take(lines: readonly LogLine[], step?: Step): void {
    this.time = lines.at(-1)?.[1] ?? this.time
    for (const [text] of lines) this.#line(plainLine(text.slice(0, 2_000).trimEnd()).trimEnd(), step && KINDS[step])
  }

  #line(text: string, told: StageKind | undefined): void {
    if (IS_BUILT.test(text) && this.stage?.kind !== "build") return this.clear()
    const begun = BEGINNINGS.find(([beginning]) => beginning.test(text))?.[1]
    const now = this.stage?.kind
    // While a build runs most lines are its commands' own.
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
    // The engine leaves out a registry that is its default.
    const tagged = /^Successfully tagged (\S+)$/.exec(text)?.[1]
    if (tagged !== undefined && this.#image.endsWith(tagged)) this.stage = undefined
  }
}
