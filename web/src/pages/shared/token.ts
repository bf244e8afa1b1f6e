import { Tokens } from "../../queue/token.ts"

/** The tokens of this tab, by the URL of what they open. */
export const tokens = new Tokens()

/** Takes `?token=` out of the page's address, so that it is neither seen nor shared, and gives it. */
export function takeToken(place: Location = location, past: History = history): string | undefined {
  const url = new URL(place.href)
  const token = url.searchParams.get("token")
  if (token === null) return undefined
  url.searchParams.delete("token")
  past.replaceState(past.state, "", url)
  return token.trim() || undefined
}
