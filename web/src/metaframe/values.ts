/** Output files of a job, as values for the parent page. */
import { base64Of } from "../definition/base64.ts"
import { bearerOfFile } from "../queue/token.ts"
import type { DataRef, JobResult, LogLine } from "../wire.ts"

/** Most bytes of one file that is fetched for the parent; larger files stay references. */
const FETCHED_BYTES_MAX = 256 * 1024 * 1024

const TYPES: Record<string, string> = {
  txt: "text/plain", log: "text/plain", md: "text/markdown", csv: "text/csv", html: "text/html", css: "text/css",
  js: "text/javascript",
  json: "application/json", xml: "application/xml", pdf: "application/pdf", zip: "application/zip", gz: "application/gzip",
  tar: "application/x-tar", png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp",
  svg: "image/svg+xml", mp3: "audio/mpeg", wav: "audio/wav", ogg: "audio/ogg", mp4: "video/mp4", webm: "video/webm",
  wasm: "application/wasm",
}

/** The type of a file, by the end of its name. */
export function typeOfName(name: string): string {
  return TYPES[/\.([^./]+)$/.exec(name)?.[1]?.toLowerCase() ?? ""] ?? "application/octet-stream"
}

/** The default form of an output: a reference that everyone can resolve. */
export function referenceOf(ref: DataRef, base: string): DataRef {
  if (ref.type === "key") return { value: `${base}/f/${encodeURIComponent(String(ref.value))}`, type: "url" }
  return ref.type === undefined ? { ...ref, type: "utf8" } : ref
}

/** Fetches bytes. Rejects if they are not available. */
export type FetchBytes = (url: string, signal: AbortSignal, headers: Record<string, string>) => Promise<Response>

/** An output with its content: text and JSON are unchanged, other content becomes bytes in a form that every metapage reads. */
export async function contentOf(
  name: string, ref: DataRef, base: string, token: string | undefined, fetchBytes: FetchBytes, signal: AbortSignal,
): Promise<unknown> {
  const { type, value } = referenceOf(ref, base)
  if (type === "utf8" || type === "json") return value
  if (type === "base64") {
    const text = String(value).replace(/\s+/g, "")
    const size = Math.floor((text.replace(/=+$/, "").length * 3) / 4)
    return { _s: true, _c: "Blob", value: text, size, fileType: typeOfName(name) }
  }
  const response = await fetchBytes(String(value), signal, bearerOfFile(String(value), base, token))
  if (!response.ok) throw new Error(`the server answered ${response.status}`)
  if (Number(response.headers.get("content-length") ?? 0) > FETCHED_BYTES_MAX) {
    void response.body?.cancel()
    throw new Error("it is too large to be delivered whole")
  }
  const bytes = new Uint8Array(await response.arrayBuffer())
  return { _s: true, _c: "Blob", value: base64Of(bytes), size: bytes.length, fileType: typeOfName(name) }
}

/** The end of a job for a metapage that sets jobs, under the name `job/result.json`. */
export function statusOf(result: JobResult, url: string): Record<string, unknown> {
  const lines = (isStdErr: boolean): LogLine[] =>
    result.logs.filter((line) => (line[2] === true) === isStdErr).map((line) => [line[0].trimEnd(), ...line.slice(1)] as LogLine)
  return {
    stdout: lines(false), stderr: lines(true), statusCode: result.StatusCode, error: result.error, duration: result.duration,
    isTimedOut: result.isTimedOut, url,
    // For a long log, a result contains only the last lines. This says how many come before them, and where the whole log is.
    ...(result.logsOmitted && { logsOmitted: result.logsOmitted }),
  }
}
