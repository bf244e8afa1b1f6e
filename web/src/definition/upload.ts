/**
 * Stores bytes under `/f` before a job that refers to them is sent. After a temporary error, an upload is tried again a limited
 * number of times. While no server answers, an upload waits without a limit.
 */
import type { Upload } from "./resolve.ts"

/** Most tries of one upload that end with an answer of a server, including the first. */
const TRIES_MAX = 9
/** Pause before the second try; it doubles with each further one. */
const FIRST_WAIT_MS = 100
/** Longest wait without a network; it ends when the browser reports that it is online again. */
const AWAY_WAIT_MS = 5_000
/** Statuses after which no further try is made, with the reason for the user. */
const FINAL: Readonly<Record<number, string>> = {
  401: "the server requires a token", 403: "the server does not accept the token", 413: "it is larger than the server accepts",
}
/** Uploads at a time. */
const PARALLEL_MAX = 4
/** Most uploads that the page remembers as stored. It forgets the oldest, and would store them again. */
const KNOWN_MAX = 10_000

export type HeaderValues = Readonly<Record<string, string>>

/** Sends bytes once, following redirects. Resolves with the status, rejects when the network fails or the signal fires. */
export type Put =
  (url: string, body: Blob, headers: HeaderValues, onShare: (share: number) => void, signal: AbortSignal) => Promise<number>

/**
 * `PUT` by XMLHttpRequest, which reports its progress; `fetch` does not. A server may redirect to an object storage of another
 * origin. Browsers then follow without `Authorization`, as the Fetch standard requires.
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

/** An upload that is no longer needed continues for this long: the next job often refers to the same bytes. */
const GRACE_MS = 3_000

/** The finished share, 0 to 1, or that the upload waits for the connection. */
export type Progress = number | "waiting"
type OnProgress = (progress: Progress) => void

/** The result of one try. `away`: no server answered. */
type Outcome = { readonly is: "stored" } | { readonly is: "away" } | { readonly is: "refused" | "failed"; readonly why: string }

interface ActiveUpload {
  readonly done: Promise<void>
  readonly shares: Set<OnProgress>
  readonly abort: AbortController
}

/** Uploads of this page. The same bytes are stored at most once, and never by two uploads at a time. */
export class Uploader {
  readonly #put: Put
  readonly #headersOf: (url: string) => HeaderValues
  readonly #known = new Set<string>()
  readonly #active = new Map<string, ActiveUpload>()
  readonly #queue: (() => void)[] = []
  #nBusy = 0

  /** `headersOf` returns the headers for an address. It is called at each try, because a token may have been added. */
  constructor(put: Put = putByXhr, headersOf: (url: string) => HeaderValues = () => ({})) {
    this.#put = put
    this.#headersOf = headersOf
  }

  /** Whether the bytes were stored earlier. */
  isKnown({ base, hash }: Upload): boolean {
    return this.#known.has(`${base}/f/${hash}`)
  }

  /**
   * Stores the bytes, unless they are stored already. `onShare` gets the progress. When all tries have failed, rejects with an
   * `Error` whose message says why.
   */
  upload(upload: Upload, onShare: OnProgress, signal: AbortSignal): Promise<void> {
    const url = `${upload.base}/f/${upload.hash}`
    if (this.#known.has(url)) return Promise.resolve()
    const active = this.#active.get(url) ?? this.#start(url, upload.body)
    active.shares.add(onShare)
    signal.addEventListener("abort", () => this.#leave(active, onShare), { once: true })
    return active.done
  }

  #leave({ shares, abort }: ActiveUpload, onShare: OnProgress): void {
    shares.delete(onShare)
    setTimeout(() => { if (shares.size === 0) abort.abort() }, GRACE_MS)
  }

  #start(url: string, body: Blob): ActiveUpload {
    const shares = new Set<OnProgress>()
    const abort = new AbortController()
    const tell = (progress: Progress): void => shares.forEach((listener) => listener(progress))
    const done = this.#turn(() => this.#retry(url, body, tell, abort.signal))
      .then(() => this.#remember(url))
      .finally(() => this.#active.delete(url))
    const active = { done, shares, abort }
    this.#active.set(url, active)
    return active
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

  async #retry(url: string, body: Blob, tell: OnProgress, signal: AbortSignal): Promise<void> {
    for (let [nFailed, nAway] = [0, 0]; ;) {
      signal.throwIfAborted()
      const outcome = await this.#attempt(url, body, tell, signal)
      if (outcome.is === "stored") return tell(1)
      if (outcome.is === "away") {
        tell("waiting")
        await pause(Math.min(FIRST_WAIT_MS * 2 ** nAway++, AWAY_WAIT_MS), signal)
        continue
      }
      if (outcome.is === "refused" || nFailed + 1 >= TRIES_MAX) throw new Error(outcome.why)
      tell(0)
      nAway = 0
      await pause(FIRST_WAIT_MS * 2 ** nFailed++, signal)
    }
  }

  async #attempt(url: string, body: Blob, tell: OnProgress, signal: AbortSignal): Promise<Outcome> {
    try {
      const status = await this.#put(url, body, this.#headersOf(url), tell, signal)
      if (status >= 200 && status < 300) return { is: "stored" }
      const why = FINAL[status]
      return why === undefined ? { is: "failed", why: `the server answered ${status}` } : { is: "refused", why }
    } catch {
      signal.throwIfAborted()
      // A file that changed on disk cannot be sent, even with a network.
      return (await isReadable(body)) ? { is: "away" } : { is: "refused", why: "the file was changed or removed in the meantime" }
    }
  }

  #remember(url: string): void {
    this.#known.add(url)
    const oldest = this.#known.size > KNOWN_MAX ? this.#known.values().next().value : undefined
    if (oldest !== undefined) this.#known.delete(oldest)
  }
}

function isReadable(body: Blob): Promise<boolean> {
  return body.slice(0, 1).arrayBuffer().then(() => true, () => false)
}

/** Waits, at most until the browser is online again. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = new AbortController()
    const end = (): void => {
      clearTimeout(timer)
      over.abort()
      if (signal.aborted) reject(signal.reason as Error)
      else resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener("abort", end, { signal: over.signal })
    globalThis.addEventListener?.("online", end, { signal: over.signal })
  })
}
