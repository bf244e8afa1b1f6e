/** The token of a queue, for as long as the tab lives, and never in an address that is seen. */

const PREFIX = "asman-token:"
/** Longest token that a server takes. */
const TOKEN_CHARS_MAX = 255

/** The token kept for an address, in the tab's storage where the browser allows it. */
export function keptToken(address: string): string | undefined {
  try {
    return sessionStorage.getItem(PREFIX + address) ?? undefined
  } catch {
    return undefined
  }
}

/** Keeps a token for an address; an empty one is forgotten. */
export function keepToken(address: string, token: string): void {
  try {
    if (token === "") sessionStorage.removeItem(PREFIX + address)
    else sessionStorage.setItem(PREFIX + address, token.slice(0, TOKEN_CHARS_MAX))
  } catch {
    // Forbidden in some frames: then the token holds until the page is left.
  }
}

/** Takes `?token=` out of the page's address, so that it is neither seen nor shared, and gives it. */
export function takeToken(place: Location = location, past: History = history): string | undefined {
  const url = new URL(place.href)
  const token = url.searchParams.get("token")
  if (token === null) return undefined
  url.searchParams.delete("token")
  past.replaceState(past.state, "", url)
  return token.trim().slice(0, TOKEN_CHARS_MAX) || undefined
}
