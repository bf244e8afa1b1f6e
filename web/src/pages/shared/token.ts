import { Tokens } from "../../queue/token.ts"

/** The tokens of this tab, by the URL for which each is used. */
export const tokens = new Tokens()

/** Removes `?token=` from the page's address, so that it is neither visible nor shared, and returns it. */
export function takeToken(place: Location = location, past: History = history): string | undefined {
  const url = new URL(place.href)
  const token = url.searchParams.get("token")
  if (token === null) return undefined
  url.searchParams.delete("token")
  past.replaceState(past.state, "", url)
  return token.trim() || undefined
}
