/** Checks of values in the settings: each returns the fix as a sentence, or nothing if the value is valid. */
import { DURATION_MS_MIN, durationMs, isImage, MEMORY_BYTES_MIN, sizeBytes } from "../../definition/amounts.ts"

/** A time: `5m`, `1h30m`, `250ms`, or milliseconds. */
export function durationProblem(text: string): string {
  const ms = durationMs(text)
  if (text === "" || (ms !== undefined && ms >= DURATION_MS_MIN)) return ""
  return ms === undefined ? "Write a time such as 90s, 5m, 1h30m or 1w."
    : "Write a unit, such as 90s or 5m: a number alone is milliseconds, and this is less than a second."
}

/** A size: `512m`, `4g`, `4GiB`, `512Mi`, or bytes. */
export function sizeProblem(text: string): string {
  return text === "" || sizeBytes(text) !== undefined ? "" : "Write a size such as 512m or 4g."
}

/** The same for the memory of a container, which has a minimum. With 0 the worker decides. */
export function memoryProblem(text: string): string {
  const bytes = sizeBytes(text)
  return bytes !== undefined && bytes > 0 && bytes < MEMORY_BYTES_MIN
    ? "Write a size of at least 6m, with its unit: a number alone is bytes." : sizeProblem(text)
}

/** A number above zero, or none. */
export function cpusProblem(text: string): string {
  const n = Number(text)
  return text === "" || (Number.isFinite(n) && n > 0 && n <= 4096) ? "" : "Write a number above 0, such as 0.5 or 4."
}

/** A whole number, or none. */
export function gpusProblem(text: string): string {
  return text === "" || /^\d{1,4}$/.test(text) ? "" : "Write a whole number, such as 1."
}

/** The name of an image with its registry, tag or digest. */
export function imageProblem(text: string): string {
  if (text === "") return "Name an image, such as alpine:3.20."
  return isImage(text) ? ""
    : "This is not an image's name: write it as in alpine:3.20 or ghcr.io/me/tool:1."
}

/** The name of a variable of the environment. */
export function envNameProblem(name: string, others: readonly string[]): string {
  if (name === "") return "Give the variable a name."
  if (/[=\s\0]/.test(name)) return "A variable's name must not contain a space or =."
  return others.includes(name) ? `There are two variables named ${name}.` : ""
}

/** The name of an input file: its path below `/inputs`, or an absolute path. */
export function fileNameProblem(name: string, taken: readonly string[]): string {
  if (name.trim() === "") return "Give the file a name."
  if (name.length > 255) return "A name may have at most 255 characters."
  if (/[\x00-\x1f\x7f\\]/.test(name)) return "A name must not contain control characters or a backslash."
  if (name.endsWith("/") || name.split("/").some((part) => part === ".."
    || part === ".")) return "A name must not end in / or contain . or .. as a folder."
  return taken.includes(name) ? "There is already a file with this name." : ""
}

/** A queue's name, `local` or a URL of another server's queue. */
export function queueProblem(text: string): string {
  if (text === "" || /^https?:\/\/[^/\s?#]+(\/[^/\s?#]+)+$/i.test(text)) return ""
  if (/^https?:/i.test(text)) return "Write a queue of another server as https://server/queue."
  if (/[\s/?#%\\]/.test(text)) return "A queue's name must not contain a space, a slash, ?, # or %."
  return text.length <= 255 ? "" : "A queue's name may have at most 255 characters."
}

/** JSON that is an object, or nothing. */
export function objectProblem(text: string): string {
  if (text.trim() === "") return ""
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? "" : "Write a JSON object: { … }."
  } catch (error) {
    return `This is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}.`
  }
}

/** `NAME=value`, split at the first `=`; undefined without a `=`. */
export function splitVariable(text: string): { name: string; value: string } | undefined {
  const at = text.indexOf("=")
  return at > 0 ? { name: text.slice(0, at).trim(), value: text.slice(at + 1) } : undefined
}
