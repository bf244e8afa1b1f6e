/** The queue of the jobs, and the address of its server. */

/** The parameters that name the queue. */
export interface QueueParams {
  readonly queue: string
  readonly queueOverride: string
  readonly ignoreQueueOverride: boolean
}

export interface QueueAddress {
  /** The name as the user or the parent set it. */
  readonly name: string
  /** Base of `/f` and `/j`, without a trailing slash. */
  readonly base: string
  /** The URL below which everything of the queue is: `<base>/q/<name, percent-encoded>`. */
  readonly url: string
  readonly socketUrl: string
  readonly isLocal: boolean
  readonly isOverridden: boolean
}

/** Most characters of a queue's name. */
const NAME_CHARS_MAX = 255
/** The worker of this machine serves the same routes. */
export const LOCAL_BASE = "http://localhost:8000"

/**
 * The address of the queue that the parameters name, on the server at `root` unless they name another one. Undefined if they name
 * no queue. Throws a `TypeError` for a URL that is not the URL of a queue.
 */
export function resolveQueue(params: QueueParams, root: URL): QueueAddress | undefined {
  const isOverridden = !params.ignoreQueueOverride && params.queueOverride !== ""
  const name = isOverridden ? params.queueOverride : params.queue
  if (name === "") return undefined
  const base = root.href.replace(/[?#].*$/, "").replace(/\/+$/, "")
  if (name === "local") return { ...addressOf(LOCAL_BASE, name), name, isLocal: true, isOverridden }
  const address = /^https?:\/\//i.test(name) ? foreignQueue(name) : addressOf(base, name)
  return { ...address, name, isLocal: false, isOverridden }
}

/** Refuses names that every server refuses, so that the user sees the reason instead of a failed connection. */
function checkName(name: string): void {
  if (name.includes("/")) throw new TypeError("The name of a queue must not contain a slash")
  if (/[\x00-\x1f\x7f-\x9f]/.test(name)) throw new TypeError("The name of a queue must not contain a control character")
  // In a path these mean the same folder and the parent folder, even if they are percent-encoded.
  if (name === "." || name === "..") throw new TypeError("The name of a queue must not be one or two dots")
  if (name.length > NAME_CHARS_MAX) throw new TypeError(`The name of a queue may have at most ${NAME_CHARS_MAX} characters`)
}

function addressOf(base: string, queue: string): Pick<QueueAddress, "base" | "url" | "socketUrl"> {
  checkName(queue)
  const url = `${base}/q/${encodeURIComponent(queue)}`
  return { base, url, socketUrl: `${url.replace(/^http/, "ws")}/client` }
}

function foreignQueue(text: string): Pick<QueueAddress, "base" | "url" | "socketUrl"> {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const segments = url?.pathname.split("/").filter((segment) => segment !== "") ?? []
  const queue = segments.pop()
  if (!url || queue === undefined) throw new TypeError("The address of a queue is http(s)://host/name")
  // A server may be below a path; the `q` before the name is optional.
  if (segments.at(-1) === "q") segments.pop()
  return addressOf([url.origin, ...segments].join("/"), decoded(queue))
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

/** Whether the server is on this machine. If it is, queue `local` has a worker. */
export function isOwnMachine(root: URL): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(root.hostname)
}

/** Where the earlier queue is stored while the page is in local mode. */
const PREVIOUS_QUEUE = "previous-queue"

/**
 * Returns the queue to set when the user enters or leaves local mode. On entering, it stores the present queue. If storage is
 * forbidden, that queue is lost.
 */
export function toggledLocal(queue: string, storage: Storage | undefined): string {
  try {
    if (queue !== "local") {
      storage?.setItem(PREVIOUS_QUEUE, queue)
      return "local"
    }
    const previous = storage?.getItem(PREVIOUS_QUEUE) ?? ""
    return previous === "local" ? "" : previous
  } catch {
    return queue === "local" ? "" : "local"
  }
}
