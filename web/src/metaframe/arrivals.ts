/** The values from the parent page, by name, turned into inputs when they arrive. */
import type { InputFile } from "../client/client.ts"
import type { Problems } from "../client/problems.svelte.ts"
import { sentenceOf } from "../client/problems.svelte.ts"
import { asDefinition, ENTRIES_MAX } from "../definition/shape.ts"
import { bytesOf, type Input, inputName, inputOf } from "../definition/inputs.ts"
import type { Definition } from "../wire.ts"

/** The names under which a parent sends a job. A value named `job` never becomes a file. */
const JOB = "job"
const METAFRAME_JOB = "metaframe/job"

export class Arrivals {
  readonly #problems: Problems
  readonly #inputs = new Map<string, Input>()
  readonly #jobs = new Map<string, unknown>()
  /** A job that came and was not taken yet. */
  #newJob: { readonly value: unknown } | undefined

  constructor(problems: Problems) {
    this.#problems = problems
  }

  /** Takes changed values. A value that cannot be an input is reported to the user; the others are taken. */
  take(values: Readonly<Record<string, unknown>>): void {
    for (const [name, value] of Object.entries(values)) {
      if (name === JOB || name === METAFRAME_JOB) this.#takeJob(name, value)
      if (name !== JOB) this.#takeInput(name, value)
    }
  }

  /** The values that become inputs of the job. If the parent may set the job, the value that is the job is not one of them. */
  inputs(maySetJob: boolean): [string, Input][] {
    return [...this.#inputs].filter(([name]) => !(maySetJob && name === METAFRAME_JOB))
  }

  files(maySetJob: boolean): InputFile[] {
    return this.inputs(maySetJob).map(([name, input]) => ({ name: inputName(name), bytes: sizeOf(input), from: "metapage" }))
  }

  /** The last job that arrived. It is returned once; undefined if none has arrived since. An invalid job is reported. */
  takeJob(): Definition | undefined {
    const job = this.#newJob
    this.#newJob = undefined
    if (!job || job.value === undefined || job.value === null) return undefined
    try {
      const definition = asDefinition(JSON.parse(typeof job.value === "string" ? job.value : JSON.stringify(job.value)))
      this.#problems.clear("input:job")
      return definition
    } catch (error) {
      const why = error instanceof SyntaxError ? "it is not JSON" : sentenceOf(error)
      this.#problems.say("input:job", `The job that the metapage sent cannot be read: ${why}.`)
      return undefined
    }
  }

  #takeJob(name: string, value: unknown): void {
    const job = jobOf(value)
    const text = typeof job === "string" ? job : JSON.stringify(job)
    // A parent may send the same job again; only a different job replaces the user's edits.
    if (this.#jobs.get(name) === text) return
    this.#jobs.set(name, text)
    this.#newJob = { value: job }
  }

  #takeInput(name: string, value: unknown): void {
    const key = `input:${name.slice(0, 100)}`
    this.#problems.clear(key)
    try {
      const input = inputOf(value)
      if (input === undefined) this.#inputs.delete(name)
      else if (this.#inputs.size < ENTRIES_MAX || this.#inputs.has(name)) this.#inputs.set(name, input)
      else throw new RangeError(`a job takes at most ${ENTRIES_MAX} inputs`)
    } catch (error) {
      this.#inputs.delete(name)
      this.#problems.say(key, `The input ${name.slice(0, 100)} is left out: ${sentenceOf(error)}.`)
    }
  }
}

/** A job may come as a value or inside a reference. */
function jobOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value
  const { type, value: inner } = value as Record<string, unknown>
  return (type === "json" || type === "utf8") && inner ? inner : value
}

/** Bytes of an input, if they are known without reading it; 0 for a file at another address. */
export function sizeOf(input: Input): number {
  if (input instanceof Blob) return input.size
  const length = bytesOf(input)?.length ?? 0
  return input.type === "base64" ? Math.floor((length * 3) / 4) : length
}
