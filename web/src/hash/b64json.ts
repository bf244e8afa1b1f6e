/**
 * JSON in a fragment: base64 of the percent-encoded text. Existing links come from several versions of the library that writes
 * them, so reading accepts every variant, including double encoding and missing padding.
 */
import { stableText } from "../definition/canonical.ts"

/**
 * The base64 of a JSON value in the form that every reader accepts; not yet percent-encoded. Throws for values that JSON cannot
 * represent.
 */
export function encodeB64Json(value: unknown): string {
  return btoa(encodeURIComponent(stableText(value)))
}

/** Reads the output of every known writer, percent-encoded or not. Throws a `SyntaxError` or `RangeError` for anything else. */
export function decodeB64Json(raw: string): unknown {
  const latin1 = base64Text(unescape(raw))
  if (latin1.startsWith("%")) return JSON.parse(decodePercent(latin1))
  return JSON.parse(utf8(latin1) ?? latin1)
}

function unescape(raw: string): string {
  let text = raw
  for (let pass = 0; pass < 2 && text.includes("%"); pass++) text = decodePercent(text)
  return text.replace(/(%3D)+$/i, "")
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new SyntaxError("its percent-encoding is broken")
  }
}

/** `atob` that accepts missing padding, and refuses white space, which `atob` skips. */
function base64Text(text: string): string {
  const bare = text.replace(/=+$/, "")
  if (!/^[A-Za-z0-9+/]+$/.test(bare)) throw new SyntaxError("it is not base64")
  try {
    return atob(bare)
  } catch {
    throw new SyntaxError("it is not base64")
  }
}

/** The text of UTF-8 bytes, else undefined: then they are Latin-1, the output of `btoa` for plain JSON. */
function utf8(latin1: string): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(latin1, (char) => char.charCodeAt(0)))
  } catch {
    return undefined
  }
}
