/**
 * Asks the server that gave the page. Answers are data of strangers: their size is bounded, and what is no JSON is a failure.
 */

/** Characters of one answer: a result holds a log of ten mebibytes at most. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024

/** Why there is no answer. `denied`: a token is asked for, or another one. */
export type Failure = { kind: "denied" | "missing" | "refused" | "away"; text: string }
export type Answer<T> = { data: T; failure?: undefined } | { failure: Failure; data?: undefined }

export interface Asking {
  readonly token?: string | undefined
  readonly method?: string
  readonly signal?: AbortSignal | undefined
}

/** Fetches JSON from an address below the root. It never throws. */
export async function ask<T>(url: string | URL, { token, method = "GET", signal }: Asking = {}): Promise<Answer<T>> {
  try {
    const response = await fetch(url, { method, headers: headersOf(token), credentials: "omit", referrerPolicy: "no-referrer", signal: signal ?? null })
    if (Number(response.headers.get("content-length") ?? 0) > ANSWER_BYTES_MAX) return { failure: { kind: "refused", text: "The answer is too large." } }
    const body: unknown = await response.json()
    return response.ok ? { data: body as T } : { failure: failureOf(response.status, body) }
  } catch {
    return { failure: { kind: "away", text: "The server does not answer. Trying again." } }
  }
}

/** Headers of a request for JSON: a browser's own `Accept` would get the page. */
export function headersOf(token: string | undefined): Record<string, string> {
  const accept = { accept: "application/json" }
  return token ? { ...accept, authorization: `Bearer ${token}` } : accept
}

/** What a refused request means for the page. */
export function failureOf(status: number, body: unknown): Failure {
  const said = typeof body === "object" && body !== null && "error" in body && typeof body.error === "string" ? body.error.slice(0, 500) : undefined
  if (status === 401 || status === 403) return { kind: "denied", text: said ?? "The queue asks for a token." }
  if (status === 404) return { kind: "missing", text: said ?? "Not found." }
  if (status === 429 || status >= 500) return { kind: "away", text: "The server is busy or away. Trying again." }
  return { kind: "refused", text: said ?? `The server refused the request (status ${status}).` }
}
