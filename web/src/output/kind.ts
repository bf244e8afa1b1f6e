/** How an output is shown. The name decides first, then the first bytes; they decide nothing else. */
export type Kind = "image" | "svg" | "json" | "csv" | "audio" | "video" | "pdf" | "text" | "binary"

const BY_ENDING: Readonly<Record<string, Kind>> = {
  png: "image", jpg: "image", jpeg: "image", gif: "image", webp: "image", avif: "image", bmp: "image", ico: "image", svg: "svg",
  json: "json", geojson: "json", ipynb: "json", csv: "csv", tsv: "csv",
  mp3: "audio", wav: "audio", ogg: "audio", oga: "audio", flac: "audio", m4a: "audio", aac: "audio", opus: "audio",
  mp4: "video", webm: "video", mov: "video", ogv: "video", m4v: "video", pdf: "pdf",
}
/** Types that a blob URL may have. Nothing here is a document that could run a script in our origin. */
const TYPES: Readonly<Record<string, string>> = {
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif",
  bmp: "image/bmp",
  ico: "image/x-icon", svg: "image/svg+xml", mp3: "audio/mpeg", wav: "audio/wav", ogg: "audio/ogg", oga: "audio/ogg",
  flac: "audio/flac",
  m4a: "audio/mp4", aac: "audio/aac", opus: "audio/ogg", mp4: "video/mp4", webm: "video/webm", mov: "video/mp4", ogv: "video/ogg",
  m4v: "video/mp4", pdf: "application/pdf",
}

/** The ending of a file's name in lower case, without its dot; empty if there is none. */
export function endingOf(name: string): string {
  const file = name.slice(name.lastIndexOf("/") + 1)
  const dot = file.lastIndexOf(".")
  return dot > 0 ? file.slice(dot + 1).toLowerCase() : ""
}

/** The kind by name alone; a file without a known ending may be text, which `isText` decides. */
export function kindOf(name: string): Kind {
  return BY_ENDING[endingOf(name)] ?? "text"
}

/** The media type that a preview's blob gets. */
export function mediaType(name: string): string {
  return TYPES[endingOf(name)] ?? "application/octet-stream"
}

/** Whether bytes are text: no zero byte, and almost no other control characters or broken UTF-8 in the first 4 kB. */
export function isText(bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, 4096)
  if (head.includes(0)) return false
  const text = new TextDecoder().decode(head)
  let odd = 0
  for (const character of text) if (character === "\ufffd" || (character < " " && !"\n\r\t\x1b\f".includes(character))) odd++
  return odd <= text.length / 100 + 1
}

/** Whether a file begins like a PDF. */
export function isPdf(bytes: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(bytes.subarray(0, 5)) === "%PDF-"
}
