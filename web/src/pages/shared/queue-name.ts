import type { QueueState } from "../../client/client.ts"
import { isOwnMachine } from "../../queue/address.ts"
import { localCommand } from "../../queue/local-test.ts"

/**
 * A new name for a queue. The name is the queue's key, so it cannot be guessed: 32 characters of 5 bits, 160 bits in total.
 * Characters that look alike are not used.
 */
export function privateQueueName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  return `q-${Array.from(bytes, (byte) => "abcdefghijkmnpqrstuvwxyz23456789"[byte & 31]).join("")}`
}

/** A masked key: enough to distinguish two keys, but not usable. Short names and `local` are not secret and stay readable. */
export function maskedQueue(name: string): string {
  if (name === "" || name === "local") return name
  const at = name.lastIndexOf("/") + 1
  const key = name.slice(at)
  return name.slice(0, at) + (key.length <= 6 ? "••••" : `${key.slice(0, 4)}••••`)
}

/**
 * The command that starts a worker for a queue, for a POSIX shell. `origin` is the page's own origin; a local API must allow it.
 */
export function workerCommand(queue: string, base: string, origin: string, isServed = false): string {
  if (queue === "local" && !isServed) return localCommand(origin)
  return serveCommand(/^https?:\/\//i.test(queue) ? lastSegment(queue) : queue, base)
}

/**
 * The same for a queue of the server at `base`, local or not. The command contains a placeholder for a token, because shells store
 * command lines and other users can see them.
 */
export function serveCommand(queue: string, base: string, hasToken = false): string {
  const token = hasToken ? "ASMAN_WORKER_TOKEN=<token> " : ""
  const [name, api] = [quoted(queue), `--api ${quoted(base)}`]
  // After `--`, a name that begins with a dash is not read as an option.
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
