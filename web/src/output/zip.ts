/**
 * All outputs in one zip. Files are read one after the other, piece by piece. The pieces of the zip go into blobs, which the browser
 * keeps outside of the page's memory, so only one piece is in memory at a time.
 */
import { Zip, ZipPassThrough } from "fflate"
import type { DataRef } from "../wire.ts"
import { ZIP_BYTES_MAX } from "./limits.ts"
import { readAll, sourceOf, type FileServer } from "./source.ts"

const PIECE_BYTES = 4 * 1024 * 1024

/** A name that stays inside the folder where the zip is unpacked: without drive, `..`, leading slash and control characters. */
export function zipName(name: string, taken: ReadonlySet<string>): string {
  const parts = name.split(/[/\\]+/).map((part) => part.replace(/[\x00-\x1f\x7f:*?"<>|\u202a-\u202e\u2066-\u2069]/g, "_").trim())
  const safe = parts.filter((part) => part !== "" && part !== "." && part !== "..").join("/").slice(-1_000) || "file"
  if (!taken.has(safe)) return safe
  for (let n = 2; ; n++) if (!taken.has(`${safe}~${n}`)) return `${safe}~${n}`
}

/** Makes the zip. `onprogress` gets the number of finished files. Throws an `Error` whose message may be shown. */
export async function zipOutputs(
  outputs: Readonly<Record<string, DataRef>>, server: FileServer, signal: AbortSignal, onprogress: (done: number) => void,
): Promise<Blob> {
  const sink = new Sink()
  const taken = new Set<string>()
  let done = 0
  for (const [name, ref] of Object.entries(outputs)) {
    const file = new ZipPassThrough(zipName(name, taken))
    taken.add(file.filename)
    sink.zip.add(file)
    for await (const piece of readAll(sourceOf(ref, server.base), server, signal)) {
      file.push(piece)
      if (sink.n > ZIP_BYTES_MAX) throw new Error("The outputs are too large for one zip; download them one by one.")
    }
    file.push(new Uint8Array(), true)
    onprogress(++done)
  }
  sink.zip.end()
  return sink.blob()
}

/** Collects a zip's pieces into blobs. */
class Sink {
  n = 0
  #bytes: Uint8Array<ArrayBuffer>[] = []
  #held = 0
  readonly #blobs: Blob[] = []
  readonly zip = new Zip((error, piece) => {
    if (error) throw error
    // A copy, because the list would keep the buffer, which the caller may use again.
    this.#bytes.push(piece.slice())
    this.#held += piece.length
    this.n += piece.length
    if (this.#held >= PIECE_BYTES) this.#flush()
  })

  blob(): Blob {
    this.#flush()
    return new Blob(this.#blobs, { type: "application/zip" })
  }

  #flush(): void {
    this.#blobs.push(new Blob(this.#bytes))
    this.#bytes = []
    this.#held = 0
  }
}
