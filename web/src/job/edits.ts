/**
 * Unsaved edits. They belong to the job in the fragment, a queue and a frame, and are restored only for exactly this job, because
 * they may not fit another one.
 */
import type { KeptEdits } from "../client/client.ts"
import { sha256Hex } from "../definition/sha256.ts"
import { ENTRIES_MAX, isObject } from "../definition/shape.ts"
import type { Database } from "./database.ts"

export class Edits {
  readonly #database: Database
  readonly #place: () => unknown
  /** The storage key of this page's edits. */
  #key: string | undefined

  /** `place` returns what the edits belong to; it must be possible to write it as JSON. */
  constructor(database: Database, place: () => unknown) {
    this.#database = database
    this.#place = place
  }

  /** The edits that are stored for the present job, queue and frame. */
  async kept(): Promise<KeptEdits | undefined> {
    const key = this.#present()
    const edits = readEdits(await this.#database.edits(key))
    if (edits) this.#key = key
    return edits
  }

  /** Stores edits for the present job, queue and frame only; undefined deletes them. Returns whether they are stored. */
  async keep(edits: KeptEdits | undefined): Promise<boolean> {
    const [before, key] = [this.#key, this.#present()]
    this.#key = edits ? key : undefined
    if (before !== undefined && (before !== key || !edits)) await this.#database.forgetEdits(before)
    return edits ? this.#database.keepEdits(key, edits) : true
  }

  #present(): string {
    return sha256Hex(new TextEncoder().encode(JSON.stringify(this.#place())))
  }
}

function readEdits(value: unknown): KeptEdits | undefined {
  if (!isObject(value) || !isObject(value.texts)) return undefined
  const texts = Object.entries(value.texts).filter((entry): entry is [string, string] => typeof entry[1] === "string")
  return { texts: Object.fromEntries(texts.slice(0, ENTRIES_MAX)), form: value.form }
}
