/**
 * The one text of a JSON value, and the job id that is the hash of it. Byte for byte what existing clients and the server make;
 * `protocol/vectors/job-ids.json` is tested on both sides.
 */
import type { DataRef, Definition } from "../wire.ts"
import { sha256Hex } from "./sha256.ts"

/** Deeper values are refused: the server refuses them too, and recursion must end. */
export const DEPTH_MAX = 120

/**
 * JSON without spaces, keys sorted by UTF-16 code units; members that are undefined, functions or symbols are left out. Throws a
 * `RangeError` when it is nested too deeply (a cycle is) and a `TypeError` for a bigint.
 */
export function stableText(value: unknown): string {
  return write(value, 0) ?? "null"
}

function write(value: unknown, depth: number): string | undefined {
  if (depth > DEPTH_MAX) throw new RangeError(`it is nested deeper than ${DEPTH_MAX} levels`)
  if (typeof value !== "object" || value === null) return JSON.stringify(value) as string | undefined
  if (Array.isArray(value)) return `[${Array.from(value, (item) => write(item, depth + 1) ?? "null").join(",")}]`
  const members = value as Record<string, unknown>
  const pieces: string[] = []
  for (const key of Object.keys(members).sort()) {
    const text = write(members[key], depth + 1)
    if (text !== undefined) pieces.push(`${JSON.stringify(key)}:${text}`)
  }
  return `{${pieces.join(",")}}`
}

/** The text whose hash is the id of a definition: without what does not change the work. */
export function canonicalText(definition: Definition): string {
  const { inputs, configFiles, env, ...rest } = definition
  const copy: Record<string, unknown> = { ...rest }
  if (inputs !== undefined) copy.inputs = bareRefs(inputs)
  if (configFiles !== undefined) copy.configFiles = bareRefs(configFiles)
  if (env !== undefined) copy.env = bareEnv(env)
  return stableText(copy)
}

/** The id of a definition: lowercase hex SHA-256 of its canonical text. */
export function jobIdOf(definition: Definition): string {
  return sha256Hex(new TextEncoder().encode(canonicalText(definition)))
}

function bareRefs(refs: Record<string, DataRef>): unknown {
  if (typeof refs !== "object" || refs === null) return refs
  return Object.fromEntries(Object.entries(refs).map(([name, ref]) => [name, bareRef(ref)]))
}

function bareRef(ref: DataRef): unknown {
  if (typeof ref !== "object" || ref === null) return ref
  const { hash: _, ...bare } = ref
  return bare.type === "url" && typeof bare.value === "string" ? { ...bare, value: unsigned(bare.value) } : bare
}

/** Storage of the existing system, whose URLs are signed anew for every reader. */
const PRESIGNED_ORIGIN = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com"

function unsigned(url: string): string {
  const at = url.indexOf("/presignedurl/")
  if (at >= 0) return url.slice(0, at)
  return url.startsWith(PRESIGNED_ORIGIN) ? url.replace(/[?#].*$/s, "") : url
}

function bareEnv(env: Record<string, string>): unknown {
  if (typeof env !== "object" || env === null) return env
  return Object.fromEntries(Object.entries(env).filter(([key, value]) => !((key === "channel" || key === "CHANNEL") && value)))
}
