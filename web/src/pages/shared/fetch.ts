/** Requests of a page to its own server, with the meaning of failures for the page. */
import { askOnce, Refusal } from "../../queue/requests.ts"
import { bearer } from "../../queue/token.ts"

/** Why a request failed. `denied`: it needs a token, or another token. `away`: the same request may succeed later. */
export type RequestFailure = { kind: "denied" | "missing" | "refused" | "away"; text: string }
export type Answer<T> = { data: T; failure?: undefined } | { failure: RequestFailure; data?: undefined }

export interface Asking {
  readonly token?: string | undefined
  readonly method?: string
  readonly signal?: AbortSignal | undefined
}

/** Fetches JSON from an address below the root. It never throws. */
export async function ask<T>(url: string, { token, method = "GET", signal }: Asking = {}): Promise<Answer<T>> {
  try {
    const init = { method, headers: headersOf(undefined), credentials: "omit" as const, signal: signal ?? null }
    return { data: (await askOnce(url, token, init)) as T }
  } catch (error) {
    return { failure: failureOf(error) }
  }
}

/** Headers of a request for JSON. With the browser's own `Accept`, the server would return the page. */
export function headersOf(token: string | undefined): Record<string, string> {
  return { accept: "application/json", ...bearer(token) }
}

/** The failure of a request. */
export function failureOf(error: unknown): RequestFailure {
  const refusal = error instanceof Refusal ? error : new Refusal(0, "")
  if (refusal.wantsToken) return { kind: "denied", text: refusal.message }
  if (refusal.status === 404) return { kind: "missing", text: refusal.message }
  const isPassing = refusal.status === 0 || refusal.status === 429 || refusal.status >= 500
  return isPassing ? { kind: "away", text: "The server does not answer. Trying again." }
    : { kind: "refused", text: refusal.message }
}
