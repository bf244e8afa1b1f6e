/**
 * Turns values from a parent page or from the user into inputs of a job. Bytes stay blobs until their size is known to be small:
 * large values are never turned into text here.
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

/** The name of an input in a job: without one leading slash. */
export function inputName(name: string): string {
  return name.startsWith("/") ? name.slice(1) : name
}

/**
 * A value from a parent page, as an input. Undefined for skipped values (null, undefined, functions, symbols); throws a
 * `TypeError` for values that cannot be stored as JSON.
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
    if (typeof inner !== "string") throw new TypeError(`its type is ${String(type)}, but its value is not text`)
    if (type === "url" && inner.startsWith("data:")) return ofString(inner)
    return typeof hash === "string" ? { type: type as DataRefType, value: inner, hash }
      : { type: type as DataRefType, value: inner }
  }
  return { value: plainJson(value), type: "json" }
}

/** The value as plain JSON, so that the id, the server and the container use the same value. */
function plainJson(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined
  if (text === undefined) throw new TypeError("it is not JSON")
  return JSON.parse(text)
}

/** The head of a `data:` URL: an optional type, and parameters. It does not match a text that only begins with `data:`. */
const HEAD = /^data:(?:[\w!#$&^.+-]+\/[\w!#$&^.+*-]+)?((?:;[^,;\s]*)*),/
const REFERENCE = /^data:text\/x-uri[;,]/
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/
/** Valid heads of `data:` URLs are not longer. */
const HEAD_CHARS_MAX = 4_096

/** A text, or the content of a `data:` URL: bytes, text, or the address of a file. */
function ofString(value: string): Input {
  const [head, parameters] = HEAD.exec(value.slice(0, HEAD_CHARS_MAX)) ?? []
  if (head === undefined) return { value, type: "utf8" }
  const body = value.slice(head.length)
  if (REFERENCE.test(head)) return { value: decodedUrl(body), type: "url" }
  if (parameters!.split(";").at(-1)?.toLowerCase() === "base64") {
    const bytes = decodedUrl(body).replace(/\s+/g, "")
    return BASE64.test(bytes) ? { value: bytes, type: "base64" } : { value, type: "utf8" }
  }
  return ofPercentEncoded(body)
}

/** The content of a percent-encoded `data:` URL: text, or bytes if it is not UTF-8. */
function ofPercentEncoded(body: string): Input {
  try {
    return { value: decodeURIComponent(body), type: "utf8" }
  } catch {
    const piece = /%([0-9a-f]{2})|([^%]+)|%/gi
    const pieces = [...body.matchAll(piece)].map(([whole, hex]): BlobPart =>
      hex === undefined ? whole : Uint8Array.of(Number.parseInt(hex, 16)))
    return new Blob(pieces)
  }
}

function decodedUrl(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The bytes of an input, as a blob, and the length by which the upload rule decides. */
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
