/** Requests to a queue's server, with the queue's token. Bodies are bounded, and every error is a sentence. */
import { isObject } from "../definition/shape.ts"
import { bearer } from "./token.ts"

/** Most bytes of one answer: a result with its whole log and inline outputs has about 20 MiB at most. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024
const TIMEOUT_MS = 30_000
/** Most tries of one read when the network fails. */
const TRIES_MAX = 6
const WAIT_MS = 800

/** The server refused a request, or could not be reached (status 0). The message is for people. */
export class Refusal extends Error {
  readonly status: number
  /** The code for programs, if the server sent it. */
  readonly code: string | undefined

  constructor(status: number, message: string, code?: string) {
    super(message)
    this.status = status
    this.code = code
  }

  /** Whether the same request may succeed later, because the server was not reached, was busy or failed. */
  get mayPass(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500
  }

  get wantsToken(): boolean {
    if (this.code !== undefined) return this.code === "no-token" || this.code === "wrong-token"
    return this.status === 401 || this.status === 403
  }
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** Sends one request. Returns the JSON of a 2xx answer; rejects with a `Refusal`. */
export async function askOnce(
  url: string, token: string | undefined, init: RequestInit = {}, fetcher: Fetch = fetch,
): Promise<unknown> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout
  const headers = { ...init.headers as Record<string, string>, ...bearer(token) }
  let response: Response
  let text: string
  try {
    response = await fetcher(url, { ...init, headers, signal, referrerPolicy: "no-referrer" })
    text = await boundedText(response)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(0, "the server cannot be reached")
  }
  const body = parsed(text)
  if (response.ok) return body
  const said = isObject(body) && typeof body.error === "string" ? body.error.slice(0, 500)
    : `the server answered ${response.status}`
  throw new Refusal(response.status, said, isObject(body) && typeof body.code === "string" ? body.code : undefined)
}

/** Sends a read, and tries again if the network or the server fails; a refusal is final. */
export async function read(
  url: string, token: string | undefined, signal: AbortSignal, fetcher: Fetch = fetch,
): Promise<unknown> {
  for (let n = 1; ; n++) {
    try {
      return await askOnce(url, token, { signal }, fetcher)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error as Refusal).mayPass || n >= TRIES_MAX) throw error
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
      signal.throwIfAborted()
    }
  }
}

async function boundedText(response: Response): Promise<string> {
  if (!response.body) return ""
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  const pieces: string[] = []
  for (let nBytes = 0; ;) {
    const { done, value } = await reader.read()
    if (done) break
    nBytes += value.byteLength
    if (nBytes > ANSWER_BYTES_MAX) {
      void reader.cancel()
      throw new Refusal(0, `the server's answer is larger than ${ANSWER_BYTES_MAX} bytes`)
    }
    pieces.push(decoder.decode(value, { stream: true }))
  }
  return pieces.join("") + decoder.decode()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
