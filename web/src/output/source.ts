/**
 * The source of an output's bytes. A reference comes from a stranger: only http and https addresses are fetched, and never more
 * bytes than requested. The queue's token is sent only for stored files of the queue's own server.
 */
import { bearerOfFile } from "../queue/token.ts"
import type { DataRef } from "../wire.ts"

/** Either the bytes themselves or their address. */
export type Source =
  | { bytes: Uint8Array<ArrayBuffer>; url?: undefined }
  | { url: string; bytes?: undefined }
  | { problem: string; url?: undefined; bytes?: undefined }

export interface FileServer {
  /** Base of `/f`, without a trailing slash. */
  readonly base: string
  readonly token?: string | undefined
}

/** The beginning of a file. */
export interface Head {
  bytes: Uint8Array<ArrayBuffer>
  /** Size of the whole file, if the server sent it. */
  size: number | undefined
}

/** Reads a reference. It never throws. */
export function sourceOf(ref: DataRef, base: string): Source {
  const { value } = ref
  const type = ref.type ?? "utf8"
  if (type === "json") return fromJson(value)
  if (typeof value !== "string") return { problem: "This output has no readable value." }
  if (type === "utf8") return { bytes: new TextEncoder().encode(value) }
  if (type === "base64") return fromBase64(value)
  return addressed(type === "key" ? `${base}/f/${encodeURIComponent(value)}` : value, base)
}

function fromJson(value: unknown): Source {
  try {
    return { bytes: new TextEncoder().encode(JSON.stringify(value, null, 2) ?? "null") }
  } catch {
    return { problem: "This output is nested too deeply to be shown." }
  }
}

function fromBase64(text: string): Source {
  try {
    const latin = atob(text)
    return { bytes: Uint8Array.from(latin, (character) => character.charCodeAt(0)) }
  } catch {
    return { problem: "This output is not valid base64." }
  }
}

function addressed(address: string, base: string): Source {
  if (!URL.canParse(address, `${base}/`)) return { problem: "This output has no valid address." }
  const url = new URL(address, `${base}/`)
  const isWeb = url.protocol === "http:" || url.protocol === "https:"
  if (!isWeb) return { problem: "This output's address is neither http nor https." }
  return { url: url.href }
}

/** Reads at most `max` bytes from the beginning. Throws an `Error` whose message may be shown. */
export async function readHead(source: Source, server: FileServer, max: number, signal: AbortSignal): Promise<Head> {
  if (source.bytes) return { bytes: source.bytes.subarray(0, max), size: source.bytes.length }
  if (source.url === undefined) throw new Error(source.problem)
  const answer = await ask(source.url, server, signal, { range: `bytes=0-${max - 1}` })
  // An empty file has no first byte, so the server cannot satisfy any range.
  if (answer.status === 416) return { bytes: new Uint8Array(), size: 0 }
  refuse(answer)
  const size = sizeOf(answer)
  return { bytes: await readMost(answer, max), size }
}

/** All bytes as a stream, one piece at a time. */
export async function* readAll(source: Source, server: FileServer, signal: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (source.bytes) return yield source.bytes
  if (source.url === undefined) throw new Error(source.problem)
  const answer = await ask(source.url, server, signal, {})
  refuse(answer)
  const reader = answer.body?.getReader()
  for (let step = await reader?.read(); step && !step.done; step = await reader?.read()) {
    yield step.value as Uint8Array<ArrayBuffer>
  }
}

async function ask(url: string, server: FileServer, signal: AbortSignal, headers: Record<string, string>): Promise<Response> {
  const all = { ...headers, ...bearerOfFile(url, server.base, server.token) }
  try {
    return await fetch(url, { headers: all, signal, credentials: "omit", referrerPolicy: "no-referrer" })
  } catch (error) {
    if (signal.aborted) throw error
    throw new Error("The file's server does not answer.", { cause: error })
  }
}

function refuse(answer: Response): void {
  if (answer.ok) return
  void answer.body?.cancel()
  if (answer.status === 404) throw new Error("The file is no longer on the server.")
  throw new Error(`The server refused the file (status ${answer.status}).`)
}

function sizeOf(answer: Response): number | undefined {
  const range = /\/(\d+)$/.exec(answer.headers.get("content-range") ?? "")
  const said = range?.[1] ?? (answer.status === 200 ? answer.headers.get("content-length") : null)
  return said === null ? undefined : Number(said)
}

/** Reads at most `max` bytes and then closes the connection, because a server may ignore the requested range. */
async function readMost(answer: Response, max: number): Promise<Uint8Array<ArrayBuffer>> {
  const reader = answer.body?.getReader()
  const pieces: Uint8Array[] = []
  let n = 0
  for (let step = await reader?.read(); step && !step.done && n < max; step = await reader?.read()) {
    pieces.push(step.value)
    n += step.value.length
    if (n >= max) break
  }
  void reader?.cancel()
  const bytes = new Uint8Array(Math.min(n, max))
  let at = 0
  for (const piece of pieces) {
    const part = piece.subarray(0, bytes.length - at)
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
