/** The token of a queue, stored as long as the tab is open. It is never put into the fragment, because users share that. */

const PREFIX = "asman-token:"
/** Longest token that a server accepts. */
const TOKEN_CHARS_MAX = 255

/** The tab's storage, or undefined if it is forbidden, as in some frames. */
export function tabStorage(): Storage | undefined {
  try {
    return globalThis.sessionStorage
  } catch {
    return undefined
  }
}

/** The browser's storage of this origin, or undefined if it is forbidden. */
export function browserStorage(): Storage | undefined {
  try {
    return globalThis.localStorage
  } catch {
    return undefined
  }
}

/** Tokens by the URL of their queue, at most one for each. Without storage they are kept until the page is left. */
export class Tokens {
  readonly #storage: Storage | undefined
  readonly #here = new Map<string, string>()

  constructor(storage: Storage | undefined = tabStorage()) {
    this.#storage = storage
  }

  get(queueUrl: string): string | undefined {
    try {
      return this.#here.get(queueUrl) ?? this.#storage?.getItem(PREFIX + queueUrl) ?? undefined
    } catch {
      return undefined
    }
  }

  /** Stores a token; an empty one deletes it. */
  set(queueUrl: string, token: string): void {
    const value = token.trim().slice(0, TOKEN_CHARS_MAX)
    if (value === "") this.#here.delete(queueUrl)
    else this.#here.set(queueUrl, value)
    try {
      if (value === "") this.#storage?.removeItem(PREFIX + queueUrl)
      else this.#storage?.setItem(PREFIX + queueUrl, value)
    } catch {
      // If storage is full or forbidden, the token is kept until the page is left.
    }
  }
}

/**
 * The headers for a file at `url`. The token is sent only for stored files of the server at `base`, where inputs and outputs are. The
 * address may come from a stranger, so the token is not sent to other servers, nor to other routes of this server.
 */
export function bearerOfFile(url: string, base: string, token: string | undefined): Record<string, string> {
  return URL.canParse(url) && new URL(url).href.startsWith(`${base}/f/`) ? bearer(token) : {}
}

/** The header with a token. */
export function bearer(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { Authorization: `Bearer ${token}` }
}
