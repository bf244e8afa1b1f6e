/**
 * What this browser keeps of jobs, in IndexedDB: results, so that they show without the server, and the history of runs.
 *
 * Both are bounded and expire. A database that is forbidden, full or broken loses only that convenience: nothing here rejects.
 */
import type { PastRun } from "../client/client.ts"
import type { Job } from "../wire.ts"

const NAME = "asman"
const VERSION = 1
/** Results kept; the oldest go. */
const RESULTS_MAX = 100
/** UTF-16 units of one result as JSON; larger ones are asked of the server each time. */
const RESULT_CHARS_MAX = 2_000_000
const RESULT_AGE_MAX_MS = 14 * 24 * 3_600_000
/** The key of the only entry of the history. */
const HISTORY = "history"

interface Kept { readonly key: string; readonly job: Job; readonly created_at: number }

/** What is kept of jobs. Tests put a map in its place. */
export interface Database {
  result(key: string): Promise<Job | undefined>
  keepResult(key: string, job: Job): Promise<void>
  forgetResult(key: string): Promise<void>
  runs(): Promise<readonly PastRun[]>
  keepRuns(runs: readonly PastRun[]): Promise<void>
}

export class BrowserDatabase implements Database {
  #opened: Promise<IDBDatabase | undefined> | undefined

  async result(key: string): Promise<Job | undefined> {
    const kept = await this.#ask<Kept | undefined>("results", "readonly", (store) => store.get(key))
    return kept && kept.created_at > Date.now() - RESULT_AGE_MAX_MS ? kept.job : undefined
  }

  async keepResult(key: string, job: Job): Promise<void> {
    if (JSON.stringify(job).length > RESULT_CHARS_MAX) return
    await this.#ask("results", "readwrite", (store) => store.put({ key, job, created_at: Date.now() } satisfies Kept))
    await this.#expire()
  }

  async forgetResult(key: string): Promise<void> {
    await this.#ask("results", "readwrite", (store) => store.delete(key))
  }

  async runs(): Promise<readonly PastRun[]> {
    const runs = await this.#ask<unknown>("runs", "readonly", (store) => store.get(HISTORY))
    return Array.isArray(runs) ? (runs as PastRun[]) : []
  }

  async keepRuns(runs: readonly PastRun[]): Promise<void> {
    await this.#ask("runs", "readwrite", (store) => store.put(runs, HISTORY))
  }

  /** Keys alone are read: the results themselves may be large. */
  async #expire(): Promise<void> {
    const oldest = IDBKeyRange.upperBound(Date.now() - RESULT_AGE_MAX_MS)
    const expired = await this.#ask<IDBValidKey[]>("results", "readonly", (store) => store.index("created_at").getAllKeys(oldest))
    const all = await this.#ask<IDBValidKey[]>("results", "readonly", (store) => store.index("created_at").getAllKeys())
    const surplus = all?.slice(0, Math.max(0, all.length - RESULTS_MAX)) ?? []
    for (const key of new Set([...(expired ?? []), ...surplus])) {
      await this.#ask("results", "readwrite", (store) => store.delete(key))
    }
  }

  async #ask<T>(name: string, mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest): Promise<T | undefined> {
    try {
      const database = await (this.#opened ??= open())
      return database && (await answer<T>(ask(database.transaction(name, mode).objectStore(name))))
    } catch {
      return undefined
    }
  }
}

function answer<T>(request: IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result as T)
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"))
  })
}

async function open(): Promise<IDBDatabase | undefined> {
  try {
    const request = indexedDB.open(NAME, VERSION)
    request.onupgradeneeded = () => {
      request.result.createObjectStore("results", { keyPath: "key" }).createIndex("created_at", "created_at")
      request.result.createObjectStore("runs")
    }
    const database = await answer<IDBDatabase>(request)
    // Another tab with a newer page is not held up.
    database.onversionchange = () => database.close()
    return database
  } catch {
    return undefined
  }
}
