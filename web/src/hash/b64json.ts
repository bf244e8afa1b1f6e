/**
 * JSON in a fragment: base64 of the percent-encoded text. Links in the wild come from several generations of the library that
 * writes them, so reading takes every variant of them, doubly encoded ones and those without padding too.
 */
import { stableText } from "../definition/canonical.ts"

/** The base64 of a JSON value, as every reader takes it; not yet percent-encoded. Throws for what JSON cannot hold. */
export function encodeB64Json(value: unknown): string {
  return btoa(encodeURIComponent(stableText(value)))
}

/** Reads what any of the known writers wrote, percent-encoded or not. Throws a `SyntaxError` or `RangeError` when it is none. */
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

/** `atob` that takes missing padding; white space, which it skips, is no base64 here. */
function base64Text(text: string): string {
  const bare = text.replace(/=+$/, "")
  if (!/^[A-Za-z0-9+/]+$/.test(bare)) throw new SyntaxError("it is no base64")
  try {
    return atob(bare)
  } catch {
    throw new SyntaxError("it is no base64")
  }
}

/** Text of bytes that are UTF-8, else undefined: then they are Latin-1, as `btoa` of plain JSON makes them. */
function utf8(latin1: string): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(latin1, (char) => char.charCodeAt(0)))
  } catch {
    return undefined
  }
}
