/**
 * The grammar of the URL's fragment: `#pre?key=value&key=value`. Any text after the `#` can be read; nothing here throws.
 */

/** Characters of a whole fragment: browsers refuse addresses beyond 2 MiB. */
export const FRAGMENT_CHARS_MAX = 2_000_000
/** Most parameters that are read; later ones are ignored, and the next write of the fragment removes them. */
export const PARAMETERS_MAX = 1_000

/**
 * A parsed fragment. `raw` contains the values as they are written, in the order of the fragment; of equal keys the last counts.
 */
export interface Fragment {
  readonly pre: string
  readonly raw: ReadonlyMap<string, string>
}

/** Parses a fragment, with or without its leading `#`. Without a `?` there are no parameters. */
export function parseFragment(hash: string): Fragment {
  const text = hash.replace(/^#+/, "").slice(0, FRAGMENT_CHARS_MAX)
  const at = text.indexOf("?")
  if (at < 0) return { pre: text, raw: new Map() }
  const pieces = text.slice(at + 1).split("&", PARAMETERS_MAX).filter((piece) => piece !== "")
  return { pre: text.slice(0, at), raw: new Map(pieces.map(split)) }
}

function split(piece: string): [string, string] {
  const at = piece.indexOf("=")
  return at < 0 ? [piece, ""] : [piece.slice(0, at), piece.slice(at + 1)]
}

/** Percent-decodes once. Returns text that cannot be decoded unchanged, as existing clients do. `+` does not mean a space. */
export function decodeValue(raw: string): string {
  try {
    return decodeURIComponent(raw)
  } catch {
    return raw
  }
}

/** Percent-encodes a value. A lone surrogate, which UTF-8 cannot represent, becomes U+FFFD. */
export function encodeValue(value: string): string {
  return encodeURIComponent(value.replace(/[\ud800-\udfff]/gu, "\ufffd"))
}

/**
 * The fragment with some parameters set (already encoded) or, if the value is undefined, deleted. Keys are sorted by UTF-16 code
 * units; the rest is kept unchanged.
 */
export function withValues(fragment: Fragment, changes: ReadonlyMap<string, string | undefined>): Fragment {
  const raw = new Map(fragment.raw)
  for (const [key, value] of changes) {
    if (value === undefined) raw.delete(key)
    else raw.set(key, value)
  }
  const sorted = [...raw].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return { pre: fragment.pre, raw: new Map(sorted) }
}

/** The text of a fragment, with its `#`; `""` when there is nothing in it. */
export function fragmentText({ pre, raw }: Fragment): string {
  const joined = [...raw].map(([key, value]) => `${key}=${value}`).join("&")
  if (joined === "") return pre === "" ? "" : `#${pre}`
  return `#${pre}?${joined}`
}
