/** One line of a JSON tree: the kind of a value, and the text that stands for it while it is closed. */
export interface JsonLine {
  kind: "object" | "array" | "string" | "number" | "boolean" | "null"
  text: string
}

const STRING_CHARS_MAX = 300

/** Describes a value from `JSON.parse`. */
export function jsonLine(value: unknown): JsonLine {
  if (value === null) return { kind: "null", text: "null" }
  if (Array.isArray(value)) return { kind: "array", text: `[ ${value.length} ]` }
  if (typeof value === "object") return { kind: "object", text: `{ ${Object.keys(value).length} }` }
  if (typeof value === "string") return { kind: "string", text: JSON.stringify(shortened(value)) }
  return { kind: typeof value === "number" ? "number" : "boolean", text: String(value) }
}

/** The first `max` members of an object or an array, and the number of all its members. */
export function members(value: unknown, max: number): { shown: [name: string, value: unknown][]; n: number } {
  if (Array.isArray(value)) {
    return { shown: value.slice(0, max).map((item, at): [string, unknown] => [String(at), item]), n: value.length }
  }
  if (typeof value !== "object" || value === null) return { shown: [], n: 0 }
  const keys = Object.keys(value)
  return { shown: keys.slice(0, max).map((key): [string, unknown] => [key, (value as Record<string, unknown>)[key]]),
    n: keys.length }
}

function shortened(text: string): string {
  return text.length > STRING_CHARS_MAX ? `${text.slice(0, STRING_CHARS_MAX)}… (${text.length} characters)` : text
}
