/** The upload rule: large values are taken out of the definition and uploaded, named by their hash. */
import type { DataRef, Definition } from "../wire.ts"
import { base64Of } from "./base64.ts"
import type { Draft } from "./build.ts"
import { jobIdOf } from "./canonical.ts"
import { bytesOf, type Input } from "./inputs.ts"
import { sha256OfBlob } from "./sha256.ts"

/** Longest text that stays in the definition, in UTF-16 units. For bytes, the length of their base64 counts. */
export const INLINE_CHARS_MAX = 200

/** Bytes that the definition refers to, to be stored before the job is sent. */
export interface Upload {
  readonly name: string
  readonly base: string
  readonly hash: string
  readonly body: Blob
}

export interface ResolvedDefinition {
  readonly id: string
  readonly definition: Definition
  readonly uploads: readonly Upload[]
}

/** The hash and the bytes of a value. They are kept, because hashing is the only slow part of the rule. */
interface Hashed { readonly hash: string; readonly body: Blob }

/**
 * Applies the rule and keeps the hashes of the last values, so that an edit of one input does not hash the others again. It keeps
 * as many values as the last definition had inputs.
 */
export class DefinitionResolver {
  #hashed = new Map<unknown, Hashed>()

  /**
   * The definition that is sent to the server at `base`, its id, and the uploads that must come first. Undefined if the draft became
   * stale in the meantime. Throws a `TypeError` for an input that cannot be read, with its name as `cause`.
   */
  async resolve(draft: Draft, base: string, isStale: () => boolean): Promise<ResolvedDefinition | undefined> {
    const uploads: Upload[] = []
    const seen = new Map<unknown, Hashed>()
    const resolveAll = async (inputs: ReadonlyMap<string, Input>): Promise<Record<string, DataRef> | undefined> => {
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
    const inputs = await resolveAll(draft.inputs)
    const configFiles = isStale() ? undefined : await resolveAll(draft.configFiles)
    if (isStale()) return undefined
    this.#hashed = seen
    const definition = { ...draft.rest, ...(inputs && { inputs }), ...(configFiles && { configFiles }) }
    return { id: jobIdOf(definition), definition, uploads }
  }

  async #hash(name: string, input: Input, seen: Map<unknown, Hashed>, isStale: () => boolean): Promise<Hashed | undefined> {
    // Each edit creates new references for the texts of config files, so the key of a text is the text itself. The key of any
    // other value is the object.
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
  const why = error instanceof TypeError ? error.message : "the file was changed or removed after it was chosen; choose it again"
  throw new TypeError(`The input ${name} cannot be read: ${why}.`, { cause: name })
}
