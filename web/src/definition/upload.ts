/** Stores bytes under `/f` before a job that refers to them is sent. */
import type { Upload } from "./settle.ts"

/** Tries of one upload, the first included. */
const TRIES_MAX = 9
/** Wait before the second try; it doubles with each further one. */
const FIRST_WAIT_MS = 100
/** Answers that no further try changes. */
const FINAL: Readonly<Record<number, string>> = {
  401: "the server asks for a token", 403: "the server does not accept the token", 413: "it is larger than the server takes",
}
/** Uploads at a time. */
const PARALLEL_MAX = 4
/** Uploads that are known to be stored; the oldest are forgotten, and then stored again. */
const KNOWN_MAX = 10_000

export type HeaderValues = Readonly<Record<string, string>>

/** Sends bytes once, following redirects. Resolves with the status, rejects when the network fails or the signal fires. */
export type Put =
  (url: string, body: Blob, headers: HeaderValues, onShare: (share: number) => void, signal: AbortSignal) => Promise<number>

/**
 * `PUT` by XMLHttpRequest: unlike `fetch` it tells of its progress. A server may redirect to an object storage of another origin:
 * browsers follow without `Authorization` then, as the Fetch standard wants it.
 */
export const putByXhr: Put = (url, body, headers, onShare, signal) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const fail = (): void => reject(new TypeError("the network failed"))
    request.open("PUT", url)
    request.setRequestHeader("Content-Type", "application/octet-stream")
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.upload.onprogress = ({ loaded, total }) => onShare(total > 0 ? loaded / total : 0)
    request.onload = () => resolve(request.status)
    request.onerror = fail
    request.onabort = fail
    signal.addEventListener("abort", () => request.abort(), { once: true })
    request.send(body)
  })

/** After nobody wants it any more an upload goes on for this long: the next job often refers to the same bytes. */
const GRACE_MS = 3_000

interface Flight {
  readonly done: Promise<void>
  readonly shares: Set<(share: number) => void>
  readonly abort: AbortController
}

/** Uploads, each at most once a page's life, and never twice at a time. */
export class Uploader {
  readonly #put: Put
  readonly #headersOf: (url: string) => HeaderValues
  readonly #known = new Set<string>()
  readonly #flights = new Map<string, Flight>()
  readonly #queue: (() => void)[] = []
  #nBusy = 0

  /** `headersOf` gives what goes along to an address, at each try: a token may have come meanwhile. */
  constructor(put: Put = putByXhr, headersOf: (url: string) => HeaderValues = () => ({})) {
    this.#put = put
    this.#headersOf = headersOf
  }

  /** Whether the bytes were stored earlier. */
  isKnown({ base, hash }: Upload): boolean {
    return this.#known.has(`${base}/f/${hash}`)
  }

  /**
   * Stores the bytes unless that was done. `onShare` hears of the share done, 0 to 1. Rejects with an `Error` whose message says
   * why in a few words when all tries failed.
   */
  upload(upload: Upload, onShare: (share: number) => void, signal: AbortSignal): Promise<void> {
    const url = `${upload.base}/f/${upload.hash}`
    if (this.#known.has(url)) return Promise.resolve()
    const flight = this.#flights.get(url) ?? this.#start(url, upload.body)
    flight.shares.add(onShare)
    signal.addEventListener("abort", () => this.#leave(flight, onShare), { once: true })
    return flight.done
  }

  #leave({ shares, abort }: Flight, onShare: (share: number) => void): void {
    shares.delete(onShare)
    setTimeout(() => { if (shares.size === 0) abort.abort() }, GRACE_MS)
  }

  #start(url: string, body: Blob): Flight {
    const shares = new Set<(share: number) => void>()
    const abort = new AbortController()
    const tell = (share: number): void => shares.forEach((listener) => listener(share))
    const done = this.#turn(() => this.#retry(url, body, tell, abort.signal))
      .then(() => this.#remember(url))
      .finally(() => this.#flights.delete(url))
    const flight = { done, shares, abort }
    this.#flights.set(url, flight)
    return flight
  }

  async #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#nBusy >= PARALLEL_MAX) await new Promise<void>((resolve) => this.#queue.push(resolve))
    this.#nBusy++
    try {
      return await work()
    } finally {
      this.#nBusy--
      this.#queue.shift()?.()
    }
  }

  async #retry(url: string, body: Blob, tell: (share: number) => void, signal: AbortSignal): Promise<void> {
    for (let n = 0; ; n++) {
      signal.throwIfAborted()
      const { isStored, why, isHopeless } = await this.#attempt(url, body, tell, signal)
      if (isStored) return tell(1)
      if (isHopeless || n + 1 >= TRIES_MAX) throw new Error(why)
      tell(0)
      await pause(FIRST_WAIT_MS * 2 ** n, signal)
    }
  }

  async #attempt(
    url: string, body: Blob, tell: (share: number) => void, signal: AbortSignal,
  ): Promise<{ isStored: boolean; why: string; isHopeless: boolean }> {
    try {
      const status = await this.#put(url, body, this.#headersOf(url), tell, signal)
      const isStored = status >= 200 && status < 300
      return { isStored, why: FINAL[status] ?? `the server answered ${status}`, isHopeless: FINAL[status] !== undefined }
    } catch {
      signal.throwIfAborted()
      return { isStored: false, why: "the server cannot be reached, or the file changed", isHopeless: false }
    }
  }

  #remember(url: string): void {
    this.#known.add(url)
    const oldest = this.#known.size > KNOWN_MAX ? this.#known.values().next().value : undefined
    if (oldest !== undefined) this.#known.delete(oldest)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason as Error) }, { once: true })
  })
}
