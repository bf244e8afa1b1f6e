/**
 * Delivers the outputs of the current job to the parent, once for each time that it finishes.
 *
 * A delivery belongs to the job whose result was loaded. It is withdrawn when another job becomes the current one: the outputs of
 * one job are never delivered as those of another.
 */
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import type { DataRef, JobResult } from "../wire.ts"
import { contentOf, type FetchBytes, referenceOf, statusOf } from "./values.ts"

/** Files fetched at a time. */
const PARALLEL_MAX = 4

export interface DeliveryOptions {
  /** Whether a parent listens. */
  readonly isConnected: () => boolean
  readonly send: (outputs: Readonly<Record<string, unknown>>) => void
  readonly onDelivered: (jobId: string, names: readonly string[]) => void
  readonly problems: Problems
  readonly fetchBytes?: FetchBytes
}

/** A finished job whose outputs are delivered. */
export interface Offer {
  readonly jobId: string
  readonly result: JobResult
  /** Base of `/f` at the job's server. */
  readonly base: string
  /** The queue's token. It is sent only to the job's server. */
  readonly token?: string | undefined
  /** The job's own address. */
  readonly url: string
  readonly resolves: boolean
  readonly tellsStatus: boolean
}

export class Delivery {
  readonly #options: DeliveryOptions
  readonly #fetchBytes: FetchBytes
  #offer: Offer | undefined
  #life = new AbortController()
  /** Names of the outputs that this page has sent to the parent. */
  #names: readonly string[] = []

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#fetchBytes =
      options.fetchBytes ?? ((url, signal, headers) => fetch(url, { signal, headers, referrerPolicy: "no-referrer" }))
  }

  /** Takes the outputs of a finished job. They are delivered now, or as soon as a parent listens. */
  offer(offer: Offer): void {
    this.withdraw()
    this.#offer = offer
    void this.flush()
  }

  /** Ends a delivery, because another job is the current one now, or this one runs again. */
  withdraw(): void {
    this.#life.abort()
    this.#offer = undefined
  }

  /** Delivers the outputs that were not delivered yet. */
  async flush(): Promise<void> {
    const offer = this.#offer
    if (!offer || !this.#options.isConnected()) return
    this.#offer = undefined
    this.#life = new AbortController()
    const { signal } = this.#life
    const outputs = offer.resolves ? await this.#resolved(offer, signal) : references(offer)
    if (signal.aborted) return
    if (offer.tellsStatus) outputs.set("job/result.json", statusOf(offer.result, offer.url))
    const names = [...outputs.keys()]
    const gone = this.#names.filter((name) => !outputs.has(name)).map((name): [string, undefined] => [name, undefined])
    this.#names = names
    this.#options.send(Object.fromEntries([...outputs, ...gone]))
    this.#options.onDelivered(offer.jobId, names)
  }

  async #resolved(offer: Offer, signal: AbortSignal): Promise<Map<string, unknown>> {
    const entries = Object.entries(offer.result.outputs)
    const values = new Map<string, unknown>(entries.map(([name]) => [name, undefined]))
    const next = async (): Promise<void> => {
      for (let entry = entries.shift(); entry && !signal.aborted; entry = entries.shift()) {
        values.set(entry[0], await this.#content(entry[0], entry[1], offer, signal))
      }
    }
    await Promise.all(Array.from({ length: PARALLEL_MAX }, next))
    return values
  }

  async #content(name: string, ref: DataRef, { base, token }: Offer, signal: AbortSignal): Promise<unknown> {
    const key = `output:${name.slice(0, 100)}`
    try {
      const content = await contentOf(name, ref, base, token, this.#fetchBytes, signal)
      this.#options.problems.clear(key)
      return content
    } catch (error) {
      if (!signal.aborted) {
        this.#options.problems.say(key, `The output ${name.slice(0, 100)} is delivered as a reference: ${sentenceOf(error)}.`)
      }
      return referenceOf(ref, base)
    }
  }
}

function references({ result, base }: Offer): Map<string, unknown> {
  return new Map(Object.entries(result.outputs).map(([name, ref]) => [name, referenceOf(ref, base)]))
}
