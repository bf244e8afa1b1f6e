/** Tests whether this machine would run jobs of queue `local` for this page, and if not, finds the fix. */
import { isObject } from "../definition/shape.ts"
import { LOCAL_BASE } from "./address.ts"
import { askOnce, type Fetch, type Refusal } from "./requests.ts"

/** A worker of the older system needs five seconds to answer. */
const TIMEOUT_MS = 8_000
const WORKERS_MAX = 1_000
const STATUS = `${LOCAL_BASE}/q/local/status`

export interface Finding {
  readonly isReady: boolean
  readonly text: string
  /** What to run on this machine. */
  readonly command?: string
  /** The page of this machine's API where the user can allow this page. */
  readonly consent?: string
}

/** Whether the local API itself serves pages of this origin. Pages of other origins need consent. */
function isOwnPage(origin: string): boolean {
  const url = URL.canParse(origin) ? new URL(origin) : undefined
  return url !== undefined && ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname) && url.port === new URL(LOCAL_BASE).port
}

/** The command that makes this machine run jobs of a page of this origin. */
export function localCommand(origin: string): string {
  return `asman worker run --mode local${isOwnPage(origin) ? "" : ` --allow-origin ${origin}`}`
}

/** Tests the API of this machine, for a page of this origin. */
export async function testLocal(origin: string, fetcher: Fetch = fetch): Promise<Finding> {
  const init = { credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) } as const
  try {
    return found(await askOnce(STATUS, undefined, init, fetcher), origin)
  } catch (error) {
    const { status, wantsToken } = error as Refusal
    if (wantsToken) return refused(origin)
    if (status !== 0) return foreign(origin)
    // The page gets no answer and no reason, but a server may run there: a request without a readable answer shows whether one does.
    const isThere = await fetcher(STATUS, { ...init, mode: "no-cors" }).then(() => true, () => false)
    return isThere ? refused(origin) : absent(origin)
  }
}

function found(answer: unknown, origin: string): Finding {
  const workers = isObject(answer) && isObject(answer.localWorkers) ? Object.values(answer.localWorkers) : undefined
  if (!workers) return foreign(origin)
  if (workers.length === 0) {
    return { isReady: false, text: `The API runs at ${LOCAL_BASE}, and no worker serves its queue local. Run:`,
      command: `asman worker run local --api ${LOCAL_BASE}` }
  }
  const cpus = workers.slice(0, WORKERS_MAX).map((worker) => (isObject(worker) ? Number(worker.cpus) || 0 : 0))
  const sum = Number(cpus.reduce((all, one) => all + one, 0).toFixed(2))
  const n = workers.length === 1 ? "a worker" : `${workers.length} workers`
  return { isReady: true, text: `This machine is ready: ${n} with ${sum} CPUs at ${LOCAL_BASE}.` }
}

function foreign(origin: string): Finding {
  return { isReady: false, text: `Another program answers at ${LOCAL_BASE}. Stop it, and run:`, command: localCommand(origin) }
}

async function absent(origin: string): Promise<Finding> {
  const text = await isForbidden()
    ? "This browser does not let the page connect to this machine. Allow it in the site's settings, and run:"
    : `No server answers at ${LOCAL_BASE}. Run this on this machine:`
  return { isReady: false, text, command: localCommand(origin) }
}

function refused(origin: string): Finding {
  const text = `The server at ${LOCAL_BASE} does not allow pages of ${origin}.`
  // A page without an origin cannot be allowed.
  if (origin === "null") return { isReady: false, text: `${text} Stop it, and run:`, command: localCommand(origin) }
  return {
    isReady: false, text: `${text} Allow this page there, or run:`, command: `asman consent allow ${origin}`,
    consent: `${LOCAL_BASE}/consent?origin=${encodeURIComponent(origin)}`,
  }
}

/** Whether the browser's settings forbid pages of this site to reach this machine. */
async function isForbidden(): Promise<boolean> {
  for (const name of ["loopback-network", "local-network-access"]) {
    const status = await globalThis.navigator?.permissions?.query({ name: name as PermissionName }).catch(() => undefined)
    if (status?.state === "denied") return true
  }
  return false
}
