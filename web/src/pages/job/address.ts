import { type QueueAddress, resolveQueue } from "../../queue/address.ts"

/** The job of the page, and the addresses of its data. */
export interface JobAddress {
  readonly id: string
  /** Its queue, if known; otherwise the job is found by its id. */
  readonly queue: string | undefined
  /** The job as JSON. */
  readonly json: string
  /** The prefix of the log, the history and the stream, each after a slash. */
  readonly below: string
  /** A link to this page without the queue's name. */
  readonly permalink: string
}

/** Reads an address below the root `base`: the path `j/<id>`, and `queue` in the fragment. */
export function jobAddress(path: string, hash: string, base: URL): JobAddress {
  return addressIn(queueOf(hash), decoded(path.replace(/^j\//, "").replace(/\/+$/, "")), base)
}

/** The address of a job in a queue below the root `base`, or in an unknown queue. */
export function addressIn(queue: string | undefined, id: string, base: URL): JobAddress {
  const permalink = `${base.href}j/${encodeURIComponent(id)}`
  const below = queue === undefined ? permalink : `${base.href}q/${encodeURIComponent(queue)}/j/${encodeURIComponent(id)}`
  return { id, queue, json: queue === undefined ? `${permalink}.json` : below, below, permalink }
}

/** The plain name of a client's `queue`, if that queue is on the server at `base`; undefined if it is on another server. */
export function nameHere(queue: string, base: URL): string | undefined {
  let address: QueueAddress | undefined
  try {
    address = resolveQueue({ queue, queueOverride: "", ignoreQueueOverride: true }, base)
  } catch {
    return undefined
  }
  const prefix = `${base.href}q/`
  return address?.url.startsWith(prefix) ? decoded(address.url.slice(prefix.length)) : undefined
}

function queueOf(hash: string): string | undefined {
  const parameters = hash.split("?").slice(1).join("?").split("&")
  const found = parameters.findLast((parameter) => parameter.startsWith("queue="))
  return decoded(found?.slice("queue=".length) ?? "") || undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
