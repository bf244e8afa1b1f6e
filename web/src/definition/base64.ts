/** Base64 and bytes, in slices: `atob` and `btoa` of a whole large file would keep several copies of it in memory. */

/** Characters decoded at a time; a multiple of four. */
const SLICE_CHARS = 1 << 20
/** Bytes encoded at a time; a multiple of three. */
const SLICE_BYTES = 3 << 18
/** Most arguments of one call: engines have a limit. */
const CALL_BYTES = 1 << 15

/** The bytes of base64 text, as a blob. Throws a `TypeError` when it is not base64; padding may be missing. */
export function bytesOfBase64(text: string): Blob {
  const bare = /[\s]/.test(text) ? text.replace(/\s+/g, "") : text
  const parts: Uint8Array<ArrayBuffer>[] = []
  for (let at = 0; at < bare.length; at += SLICE_CHARS) parts.push(decoded(bare.slice(at, at + SLICE_CHARS)))
  return new Blob(parts)
}

function decoded(slice: string): Uint8Array<ArrayBuffer> {
  let latin1: string
  try {
    latin1 = atob(slice)
  } catch {
    throw new TypeError("it is not base64")
  }
  const bytes = new Uint8Array(latin1.length)
  for (let i = 0; i < latin1.length; i++) bytes[i] = latin1.charCodeAt(i)
  return bytes
}

/** The base64 of bytes, with padding. */
export function base64Of(bytes: Uint8Array): string {
  const pieces: string[] = []
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) pieces.push(btoa(latin1Of(bytes.subarray(at, at + SLICE_BYTES))))
  return pieces.join("")
}

function latin1Of(bytes: Uint8Array): string {
  let text = ""
  for (let at = 0; at < bytes.length; at += CALL_BYTES) text += String.fromCharCode(...bytes.subarray(at, at + CALL_BYTES))
  return text
}
