import type { QueueState } from "../../client/client.ts"
import { isOwnMachine } from "../../queue/address.ts"
import { localCommand } from "../../queue/local-test.ts"

/**
 * A queue's name is its key. This one cannot be guessed: 32 characters of 5 bits, 160 bits in total, without similar-looking
 * characters.
 */
export function privateQueueName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  return `q-${Array.from(bytes, (byte) => "abcdefghijkmnpqrstuvwxyz23456789"[byte & 31]).join("")}`
}

/** A masked key: enough to tell two apart, but not usable. Short names and `local` are not secret and stay readable. */
export function maskedQueue(name: string): string {
  if (name === "" || name === "local") return name
  const at = name.lastIndexOf("/") + 1
  const key = name.slice(at)
  return name.slice(0, at) + (key.length <= 6 ? "••••" : `${key.slice(0, 4)}••••`)
}

/**
 * The command that starts a worker for a queue, for a POSIX shell. `origin` is the page's own, which a local API needs.
 */
export function workerCommand(queue: string, base: string, origin: string, isServed = false): string {
  if (queue === "local" && !isServed) return localCommand(origin)
  return serveCommand(/^https?:\/\//i.test(queue) ? lastSegment(queue) : queue, base)
}

/**
 * The same for a queue of the server at `base`, local or not. A token is a placeholder, because command lines are stored and
 * visible.
 */
export function serveCommand(queue: string, base: string, hasToken = false): string {
  const token = hasToken ? "ASMAN_WORKER_TOKEN=<token> " : ""
  const [name, api] = [quoted(queue), `--api ${quoted(base)}`]
  // A name that begins with a dash is not an option.
  return `${token}asman worker run ${queue.startsWith("-") ? `${api} -- ${name}` : `${name} ${api}`}`
}

function lastSegment(address: string): string {
  const segment = address.replace(/\/+$/, "").split("/").pop() ?? ""
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

/** One word of a shell, quoted. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** Where jobs run: the label of a queue, and a sentence. */
export function placeOf({ isLocal, base }: Pick<QueueState, "isLocal" | "base">): { label: "Local" | "Remote"; text: string } {
  const host = URL.canParse(base) ? new URL(base).host : base
  if (isLocal) return { label: "Local", text: `Jobs run on this machine, by the worker at ${host}.` }
  const server = URL.canParse(base) && isOwnMachine(new URL(base)) ? "this machine's server" : host
  return { label: "Remote", text: `Jobs run on the machines whose workers serve this queue at ${server}.` }
}
