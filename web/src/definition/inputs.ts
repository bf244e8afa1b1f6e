/**
 * What arrives from a parent page or from the user, as inputs of a job. Values that are bytes stay blobs until their size is
 * known to be small: nothing large is turned into text here.
 */
import type { DataRef, DataRefType } from "../wire.ts"
import { bytesOfBase64 } from "./base64.ts"

/** An input before the upload rule: a reference, or bytes. */
export type Input = DataRef | Blob

const REF_TYPES: ReadonlySet<unknown> = new Set<DataRefType>(["base64", "url", "utf8", "json", "key"])

/** Whether a value counts as a reference: an object with a known type and a value that is truthy. */
export function isDataRef(value: unknown): value is DataRef {
  if (typeof value !== "object" || value === null) return false
  const { type, value: inner } = value as Record<string, unknown>
  return REF_TYPES.has(type) && Boolean(inner)
}

/** The name of an input as a job knows it: without one leading slash. */
export function inputName(name: string): string {
  return name.startsWith("/") ? name.slice(1) : name
}

/**
 * A value that a parent page sent, as an input. Undefined for what is skipped (null, undefined, functions, symbols); throws a
 * `TypeError` for what cannot be kept as JSON.
 */
export function inputOf(value: unknown): Input | undefined {
  if (value === null || value === undefined) return undefined
  if (value instanceof Blob) return value
  if (value instanceof ArrayBuffer) return new Blob([value])
  if (ArrayBuffer.isView(value)) return new Blob([value as ArrayBufferView<ArrayBuffer>])
  if (typeof value === "string") return ofString(value)
  const isPlain = typeof value === "number" || typeof value === "boolean" || typeof value === "bigint"
  if (isPlain) return { value: String(value), type: "utf8" }
  return typeof value === "object" ? ofObject(value) : undefined
}

function ofObject(value: object): Input {
  const { _s, ref, c, value: inner, type, hash } = value as Record<string, unknown>
  const isLegacy = _s === true || (ref === "base64" && typeof c === "string")
  if (isLegacy && typeof inner === "string") return { value: inner, type: "base64" }
  if (isDataRef(value)) {
    if (type === "json") return { ...value, value: plainJson(inner) }
    if (typeof inner !== "string") throw new TypeError(`its type is ${String(type)}, but its value is no text`)
    return typeof hash === "string" ? { type: type as DataRefType, value: inner, hash }
      : { type: type as DataRefType, value: inner }
  }
  return { value: plainJson(value), type: "json" }
}

/** The value as JSON alone can hold it, so that it is the same for the id, for the server and for the container. */
function plainJson(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined
  if (text === undefined) throw new TypeError("it is no JSON")
  return JSON.parse(text)
}

/** The four forms in which newer libraries write bytes. Other `data:` strings stay text. */
const BINARY = [
  /^data:application\/octet-stream;type=[A-Za-z0-9]+;base64,/,
  /^data:application\/octet-stream;base64,/,
  /^data:[^,;]*;blob=true;base64,/,
  /^data:[^,;]*;file=true(?:;[A-Za-z]+=[^,;]*)*;base64,/,
]
const REFERENCE = /^data:text\/x-uri(?:;[^,]*)?,/
/** No head of a `data:` string that means anything here is longer. */
const HEAD_CHARS_MAX = 4_096

function ofString(value: string): Input {
  if (!value.startsWith("data:")) return { value, type: "utf8" }
  const head = value.slice(0, HEAD_CHARS_MAX)
  const binary = BINARY.map((form) => form.exec(head)?.[0]).find((found) => found !== undefined)
  if (binary !== undefined) return { value: value.slice(binary.length), type: "base64" }
  const reference = REFERENCE.exec(head)?.[0]
  if (reference === undefined) return { value, type: "utf8" }
  return { value: decodedUrl(value.slice(reference.length)), type: "url" }
}

function decodedUrl(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The bytes that an input means, as a blob, and the length that decides whether they travel inside the definition. */
export function bytesOf(input: Input): { length: number; body: () => Blob } | undefined {
  if (input instanceof Blob) return { length: base64Length(input.size), body: () => input }
  const { type, value } = input
  if (type === "url" || type === "key") return undefined
  if (type === "base64") return { length: String(value).length, body: () => bytesOfBase64(String(value)) }
  const text = type === "json" ? JSON.stringify(value) : String(value)
  return { length: text.length, body: () => new Blob([text]) }
}

function base64Length(nBytes: number): number {
  return Math.ceil(nBytes / 3) * 4
}
