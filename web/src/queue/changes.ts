/**
 * Changes of jobs by requests: submissions, cancels, removals of results.
 *
 * A change is tried for a bounded time, until the server acknowledges it, which means that it is durable, or refuses it. Every
 * change may be sent twice. The changes of one job are sent one after another.
 */
import { Refusal } from "./requests.ts"

/** Pauses between tries; the last one repeats. */
const PAUSES_MS = [1_000, 2_000, 4_000, 8_000]
/** How long a change is tried while the server cannot be reached or is busy. */
export const TRIED_FOR_MS = 30 * 60_000

/** `sent`: acknowledged. `refused`: the server does not accept it. `given-up`: no try succeeded in time. */
export type Outcome =
  | { readonly is: "sent" }
  | { readonly is: "refused" | "given-up"; readonly why: string }
  | { readonly is: "withdrawn" }

/** One change. */
export interface Change {
  /** Sends it once. Rejects with a `Refusal`. */
  readonly send: () => Promise<unknown>
  /** Ends further tries. A request in progress is still waited for, because the server may have received it. */
  readonly signal?: AbortSignal
  /** Called when a try failed and another one follows. */
  readonly onTrouble?: (why: string) => void
}

export class Changes {
  readonly #last = new Map<string, Promise<Outcome>>()
  readonly #waits = new Set<() => void>()

  constructor() {
    globalThis.addEventListener?.("online", this.wake)
  }

  /** Whether a change of the job is not acknowledged yet. */
  has(jobId: string): boolean {
    return this.#last.has(jobId)
  }

  /** Sends a change after the earlier ones of its job. It never rejects. */
  send(jobId: string, change: Change): Promise<Outcome> {
    const before = this.#last.get(jobId)
    const sent = before ? before.then(() => this.#try(change)) : this.#try(change)
    this.#last.set(jobId, sent)
    void sent.then(() => {
      if (this.#last.get(jobId) === sent) this.#last.delete(jobId)
    })
    return sent
  }

  /** Ends the pauses, because the server can be reached again. */
  readonly wake = (): void => {
    for (const end of [...this.#waits]) end()
  }

  dispose(): void {
    globalThis.removeEventListener?.("online", this.wake)
  }

  async #try({ send, signal, onTrouble }: Change): Promise<Outcome> {
    const until = Date.now() + TRIED_FOR_MS
    for (let n = 0; !signal?.aborted; n++) {
      try {
        await send()
        return { is: "sent" }
      } catch (error) {
        const why = error instanceof Refusal ? error.message : "the request cannot be made"
        if (!(error instanceof Refusal) || !error.mayPass) return { is: "refused", why }
        const pause = PAUSES_MS[Math.min(n, PAUSES_MS.length - 1)]!
        if (Date.now() + pause > until) return { is: "given-up", why }
        if (!signal?.aborted) onTrouble?.(why)
        await this.#pause(pause, signal)
      }
    }
    return { is: "withdrawn" }
  }

  #pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener("abort", end)
        this.#waits.delete(end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      this.#waits.add(end)
      signal?.addEventListener("abort", end)
    })
  }
}
