/**
 * Filters a job's output for the terminal. Strangers write logs, and escape sequences or invisible characters can set a title,
 * hide a link under another text, fill the clipboard, type an answer into a shell, or reverse text.
 *
 * Allowed: printable text, tab, carriage return, backspace, colours (CSI m), erase line (CSI K), column one (CSI G), and cursor
 * up and down (CSI A, B, F) within the rows that the same block of progress wrote. Everything else is removed, but directional
 * controls are replaced by visible names. The time and the length of the output are linear in the input.
 */

import type { Colours } from "./colours.ts"

/** Most characters of one line that are shown. */
export const LINE_CHARS_MAX = 65_536
/** How far up a progress block may go. */
export const UP_ROWS_MAX = 50
const SGR_CHARS_MAX = 64

/** The cursor's position relative to the last row, and its style: only `sanitise` and `newRow` change it. */
export interface Cursor {
  /** Rows between the cursor and the last row that was written. */
  depth: number
  /** Rows written since the start of the present block of progress, at most `UP_ROWS_MAX`. */
  rows: number
  /** The styles that the line's stream has set, in this line or before. */
  colours: Colours
}

/** Anything that is not plain text; most lines have none. */
const SPECIAL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]|\p{Cs}/u

/**
 * In this order: a CSI sequence · a string sequence (OSC, DCS, SOS, PM, APC) up to its end or the line's · any other escape ·
 * one control or invisible character · half a surrogate pair.
 */
const TOKEN = new RegExp(
  "(?:\\x1b\\[|\\x9b)([0-?]*)([ -/]*)([@-~])" +
    "|(?:\\x1b[\\]PX^_]|[\\x90\\x98\\x9d-\\x9f])[^\\x07\\x1b\\x9c]*(?:\\x07|\\x9c|\\x1b\\\\|(?=\\x1b)|$)" +
    "|\\x1b[ -/]*[0-~]?" +
    "|([\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ufff9-\\ufffb])" +
    "|\\p{Cs}",
  "gu",
)
const DIRECTIONAL = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/

/** Cuts a line to its visible part. Returns that part and how many characters were left out. */
export function cutLine(line: string): { shown: string; left: number } {
  return line.length <= LINE_CHARS_MAX ? { shown: line, left: 0 }
    : { shown: line.slice(0, LINE_CHARS_MAX), left: line.length - LINE_CHARS_MAX }
}

/**
 * One line without its end, made safe for the terminal. `prefix` is the page's own and trusted. It comes before the first text, and
 * again after each return to the first column, so that progress does not overwrite it. The prefix may reset all colours: the
 * colours that the stream has set are set again after it.
 */
export function sanitise(line: string, prefix: string, cursor: Cursor): string {
  if (!SPECIAL.test(line)) return prefix + cursor.colours.text + line
  let out = ""
  let isAtStart = true
  let at = 0
  const text = (piece: string): void => {
    if (piece === "") return
    if (isAtStart) out += prefix + cursor.colours.text
    isAtStart = false
    out += piece
  }
  for (const match of line.matchAll(TOKEN)) {
    text(line.slice(at, match.index))
    at = match.index + match[0].length
    const passed = token(match, cursor)
    // Colours that come before a text are set after its prefix. An erase needs them at once: erased cells get the background colour.
    if (passed.isControl && isAtStart && passed.text.endsWith("K")) out += cursor.colours.text + passed.text
    else if (passed.isControl) out += isAtStart && passed.text.endsWith("m") ? "" : passed.text
    else text(passed.text)
    if (passed.isReturn) isAtStart = true
  }
  text(line.slice(at))
  return out
}

interface Passed { text: string; isControl: boolean; isReturn: boolean }
const NOTHING: Passed = { text: "", isControl: true, isReturn: false }

function token(match: RegExpMatchArray, cursor: Cursor): Passed {
  const [whole, parameters, between, final, control] = match
  if (final !== undefined) return whole.startsWith("\x1b") && between === "" ? csi(parameters ?? "", final, cursor) : NOTHING
  if (whole === "\r") return { text: "\r", isControl: true, isReturn: true }
  if (whole === "\b") return { text: "\b", isControl: true, isReturn: false }
  if (control !== undefined) return DIRECTIONAL.test(control) ? visible(named(control)) : NOTHING
  return whole.startsWith("\x1b") || whole < "\xa0" ? NOTHING : visible("\ufffd")
}

function csi(parameters: string, final: string, cursor: Cursor): Passed {
  if (final === "m" && parameters.length <= SGR_CHARS_MAX && /^[0-9;:]*$/.test(parameters)) {
    cursor.colours.take(parameters)
    return control(`\x1b[${parameters}m`)
  }
  if (final === "K" && /^[012]?$/.test(parameters)) return control(`\x1b[${parameters}K`)
  if (final === "G" && /^1?$/.test(parameters)) return { text: "\r", isControl: true, isReturn: true }
  if (!"ABF".includes(final) || !/^[0-9]{0,4}$/.test(parameters)) return NOTHING
  const asked = Math.max(1, Number(parameters))
  const isUp = final !== "B"
  const n = Math.min(asked, isUp ? cursor.rows - cursor.depth : cursor.depth)
  cursor.depth += isUp ? n : -n
  const isReturn = final === "F"
  return { text: (n > 0 ? `\x1b[${n}${isUp ? "A" : "B"}` : "") + (isReturn ? "\r" : ""), isControl: true, isReturn }
}

/** The text that ends a row. */
export function newRow(cursor: Cursor): string {
  if (cursor.depth > 0) cursor.depth--
  else cursor.rows = Math.min(cursor.rows + 1, UP_ROWS_MAX)
  return "\r\n"
}

/** Leaves a progress block: the next text comes below all of it and cannot change it. */
export function endBlock(cursor: Cursor): string {
  const down = cursor.depth
  cursor.depth = 0
  cursor.rows = 0
  return down > 0 ? `\x1b[${down}B` : ""
}

/**
 * A line as plain text, for search, copy and files: without escapes, with named directional controls, and with the last state of
 * an overwritten line.
 */
export function plainLine(line: string): string {
  if (!SPECIAL.test(line)) return line
  const clean = line.replace(TOKEN, (whole: string, ...rest: unknown[]) => {
    const parameters = rest[0] as string | undefined
    const final = rest[2] as string | undefined
    const single = rest[3] as string | undefined
    if (final === "G" && /^1?$/.test(parameters ?? "")) return "\r"
    if (whole === "\r") return "\r"
    if (single !== undefined && DIRECTIONAL.test(single)) return named(single)
    return whole >= "\ud800" && whole <= "\udfff" ? "\ufffd" : ""
  })
  return clean.includes("\r") ? (clean.split("\r").findLast((part) => part !== "") ?? "") : clean
}

function named(character: string): string {
  return `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`
}

function control(text: string): Passed {
  return { text, isControl: true, isReturn: false }
}

function visible(text: string): Passed {
  return { text, isControl: false, isReturn: false }
}
