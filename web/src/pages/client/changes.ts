import { type DiffLine, lineDiff } from "./line-diff.ts"

/** One change between two definitions, at one member. The changes explain why a job ran again. */
export interface Change {
  /** Where the change is, such as `env.MODE` or `configFiles."main.py".value`. */
  path: string
  before: string | undefined
  after: string | undefined
  /** The changed lines, if both values are small texts of several lines. */
  lines?: DiffLine[]
}

/** Most changes that are shown. */
export const CHANGES_MAX = 100
/** Most texts that are compared line by line. */
const COMPARED_MAX = 10
const VALUE_CHARS_MAX = 160
const DEPTH_MAX = 12
/** A file that was uploaded: its address ends in the SHA-256 of its contents. */
const STORED = /^https?:\/\/[^\s"]+\/f\/([0-9a-f]{64})$/

/**
 * The changes from one value to another, in the order of the names. The `hash` of an input is not part of the id and is left out.
 */
export function changesOf(before: unknown, after: unknown): Change[] {
  const found: Change[] = []
  walk(before, after, "", 0, found)
  return found
}

function walk(before: unknown, after: unknown, path: string, depth: number, found: Change[]): void {
  if (found.length >= CHANGES_MAX || before === after) return
  if (!isObject(before) || !isObject(after) || depth >= DEPTH_MAX) {
    const [a, b] = [short(before, after), short(after, before)]
    if (JSON.stringify(before) === JSON.stringify(after)) return
    const nCompared = found.filter(({ lines }) => lines).length
    const areTexts = typeof before === "string" && typeof after === "string" && nCompared < COMPARED_MAX
    const lines = areTexts ? lineDiff(before, after) : undefined
    found.push({ path: path || "all", before: a, after: b, ...(lines && { lines }) })
    return
  }
  for (const key of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
    if (key === "hash" && "value" in after) continue
    walk(before[key], after[key], path === "" ? step(key) : `${path}.${step(key)}`, depth + 1, found)
  }
}

function step(key: string): string {
  return /^[\w-]+$/.test(key) ? key : JSON.stringify(key.slice(0, 100))
}

/** Shows the text from the first difference on, because long texts may begin with the same characters. */
function short(value: unknown, other: unknown): string | undefined {
  if (value === undefined) return undefined
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "")
  const content = STORED.exec(text)?.[1]
  if (content !== undefined) return `contents ${content.slice(0, 12)}…`
  if (text.length <= VALUE_CHARS_MAX) return text
  const against = typeof other === "string" ? other : ""
  let at = 0
  while (at < text.length && text[at] === against[at]) at++
  const start = Math.max(0, Math.min(at - 40, text.length - VALUE_CHARS_MAX))
  return `${start > 0 ? "…" : ""}${text.slice(start, start + VALUE_CHARS_MAX)}${start + VALUE_CHARS_MAX < text.length ? "…" : ""}`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
