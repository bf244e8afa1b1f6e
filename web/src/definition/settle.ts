/** The upload rule: what is large leaves the definition and travels on its own, named by its hash. */
import type { DataRef, Definition } from "../wire.ts"
import { base64Of } from "./base64.ts"
import type { Draft } from "./build.ts"
import { jobIdOf } from "./canonical.ts"
import { bytesOf, type Input } from "./inputs.ts"
import { sha256OfBlob } from "./sha256.ts"

/** Longest text (UTF-16 units; of bytes their base64) that stays inside. */
export const INLINE_CHARS_MAX = 200

/** Bytes that the definition refers to, to be stored before the job is sent. */
export interface Upload {
  readonly name: string
  readonly base: string
  readonly hash: string
  readonly body: Blob
}

export interface Settled {
  readonly id: string
  readonly definition: Definition
  readonly uploads: readonly Upload[]
}

/** A value that the rule was applied to before: hashing is the only slow part of it. */
interface Hashed { readonly hash: string; readonly body: Blob }

/**
 * Applies the rule and keeps the hashes of the values seen last, so that an edit of one input does not hash the others again.
 * It holds as many values as the last definition had inputs.
 */
export class Settler {
  #hashed = new Map<unknown, Hashed>()

  /**
   * The definition as it is sent to the server at `base`, its id, and what has to be there before. Undefined when it became stale
   * on the way. Throws a `TypeError` for an input that cannot be read, with `cause` its name.
   */
  async settle(draft: Draft, base: string, isStale: () => boolean): Promise<Settled | undefined> {
    const uploads: Upload[] = []
    const seen = new Map<unknown, Hashed>()
    const settleAll = async (inputs: ReadonlyMap<string, Input>): Promise<Record<string, DataRef> | undefined> => {
      const entries: [string, DataRef][] = []
      for (const [name, input] of inputs) {
        const inline = await inlined(name, input)
        const hashed = inline ? undefined : await this.#hash(name, input, seen, isStale)
        if (isStale()) return undefined
        if (hashed) uploads.push({ name, base, ...hashed })
        entries.push([name, inline ?? { value: `${base}/f/${hashed!.hash}`, type: "url", hash: hashed!.hash }])
      }
      return entries.length > 0 ? Object.fromEntries(entries) : undefined
    }
    const inputs = await settleAll(draft.inputs)
    const configFiles = isStale() ? undefined : await settleAll(draft.configFiles)
    if (isStale()) return undefined
    this.#hashed = seen
    const definition = { ...draft.rest, ...(inputs && { inputs }), ...(configFiles && { configFiles }) }
    return { id: jobIdOf(definition), definition, uploads }
  }

  async #hash(name: string, input: Input, seen: Map<unknown, Hashed>, isStale: () => boolean): Promise<Hashed | undefined> {
    // Text of config files comes in new references with each edit: it is known by itself, as other values by their identity.
    const key = !(input instanceof Blob) && input.type === "utf8" ? `utf8:${String(input.value)}` : input
    let hashed = this.#hashed.get(key) ?? seen.get(key)
    if (!hashed) {
      const body = bodyOf(name, input)
      const hash = await sha256OfBlob(body, isStale).catch((error: unknown) => unreadable(name, error))
      if (hash === undefined) return undefined
      hashed = { hash, body }
    }
    seen.set(key, hashed)
    return hashed
  }
}

async function inlined(name: string, input: Input): Promise<DataRef | undefined> {
  const bytes = bytesOf(input)
  if (bytes && bytes.length > INLINE_CHARS_MAX) return undefined
  if (!(input instanceof Blob)) return input
  const buffer = await input.arrayBuffer().catch((error: unknown) => unreadable(name, error))
  return { value: base64Of(new Uint8Array(buffer)), type: "base64" }
}

function bodyOf(name: string, input: Input): Blob {
  try {
    return bytesOf(input)!.body()
  } catch (error) {
    return unreadable(name, error)
  }
}

function unreadable(name: string, error: unknown): never {
  const why = error instanceof TypeError ? error.message : "the file changed or went away since it was chosen"
  throw new TypeError(`The input ${name} cannot be read: ${why}.`, { cause: name })
}
