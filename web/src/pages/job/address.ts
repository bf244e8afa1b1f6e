/** The job that the page is about, and where what is known of it lies. */
export interface JobAddress {
  readonly id: string
  /** The queue that the fragment names; without it the job is looked for by its id. */
  readonly queue: string | undefined
  /** The job as JSON. */
  readonly json: string
  /** Below it lie the log, the history and the stream, each behind a slash. */
  readonly below: string
  /** A link to this page without the queue's name. */
  readonly permalink: string
}

/** Reads an address below the root `base`: the path `j/<id>`, and `queue` in the fragment. */
export function jobAddress(path: string, hash: string, base: URL): JobAddress {
  const id = decoded(path.replace(/^j\//, "").replace(/\/+$/, ""))
  const queue = queueOf(hash)
  const permalink = `${base.href}j/${encodeURIComponent(id)}`
  const below = queue === undefined ? permalink : `${base.href}q/${encodeURIComponent(queue)}/j/${encodeURIComponent(id)}`
  return { id, queue, json: queue === undefined ? `${permalink}.json` : below, below, permalink }
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
