/** The parameters of the fragment that a shared link leaves out to keep its queue private. */
const QUEUE_KEYS = ["queue", "queueOverride", "ignoreQueueOverride"]
/** `control` may contain addresses of callbacks and the token of a storage, so it is never shared. */
const SECRET_KEYS = ["control"]

/** This page's address for others: without `control`, and without the queue unless it is requested. */
export function shareLink(address: string, withQueue: boolean): string {
  const at = address.indexOf("#")
  if (at < 0) return address
  const fragment = address.slice(at + 1)
  const mark = fragment.indexOf("?")
  if (mark < 0) return address
  const left = withQueue ? SECRET_KEYS : [...SECRET_KEYS, ...QUEUE_KEYS]
  const kept = fragment.slice(mark + 1).split("&").filter((pair) => pair !== "" && !left.includes(pair.split("=", 1)[0] ?? ""))
  return `${address.slice(0, at)}#${fragment.slice(0, mark)}${kept.length > 0 ? `?${kept.join("&")}` : ""}`
}
