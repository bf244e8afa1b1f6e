/**
 * Data about jobs in this browser's IndexedDB: results, which can be shown without the server, the history of runs, and unsaved
 * edits.
 *
 * All are bounded and expire. If the database is forbidden, full or broken, the page works without this data: nothing here rejects.
 * The package `idb` would save ten lines and add 1 kB to the first load.
 */
import type { PastRun } from "../client/client.ts"
import type { Job } from "../wire.ts"

const NAME = "asman"
const VERSION = 2
/** Most stored results; the oldest are deleted. */
const RESULTS_MAX = 100
/** Most UTF-16 units of one result as JSON; larger ones are loaded from the server each time. */
const RESULT_CHARS_MAX = 2_000_000
const DAY_MS = 24 * 3_600_000
const RESULT_AGE_MAX_MS = 14 * DAY_MS
/** Most jobs with stored edits; the oldest are deleted. */
const EDITS_MAX = 50
/** Most UTF-16 units of one job's edits as JSON; larger ones live only as long as the page. */
const EDITS_CHARS_MAX = 2_000_000
const EDITS_AGE_MAX_MS = 30 * DAY_MS
/** The key of the only entry of the history. */
const HISTORY = "history"

interface Kept { readonly key: string; readonly job: Job; readonly created_at: number }
interface KeptText { readonly key: string; readonly edits: unknown; readonly created_at: number }

/** The stored data about jobs. Tests use a map instead. */
export interface Database {
  result(key: string): Promise<Job | undefined>
  keepResult(key: string, job: Job): Promise<void>
  forgetResult(key: string): Promise<void>
  runs(): Promise<readonly PastRun[]>
  keepRuns(runs: readonly PastRun[]): Promise<void>
  edits(key: string): Promise<unknown>
  /** Returns whether they are stored. */
  keepEdits(key: string, edits: unknown): Promise<boolean>
  forgetEdits(key: string): Promise<void>
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
    await this.#expire("results", RESULTS_MAX, RESULT_AGE_MAX_MS)
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

  async edits(key: string): Promise<unknown> {
    const kept = await this.#ask<KeptText | undefined>("edits", "readonly", (store) => store.get(key))
    return kept && kept.created_at > Date.now() - EDITS_AGE_MAX_MS ? kept.edits : undefined
  }

  async keepEdits(key: string, edits: unknown): Promise<boolean> {
    if (JSON.stringify(edits).length > EDITS_CHARS_MAX) return false
    const entry = { key, edits, created_at: Date.now() } satisfies KeptText
    const isKept = (await this.#ask<IDBValidKey>("edits", "readwrite", (store) => store.put(entry))) !== undefined
    if (isKept) await this.#expire("edits", EDITS_MAX, EDITS_AGE_MAX_MS)
    return isKept
  }

  async forgetEdits(key: string): Promise<void> {
    await this.#ask("edits", "readwrite", (store) => store.delete(key))
  }

  /** Only keys are read, because the entries may be large. */
  async #expire(name: string, max: number, ageMaxMs: number): Promise<void> {
    const keys = (range?: IDBKeyRange): Promise<IDBValidKey[] | undefined> =>
      this.#ask(name, "readonly", (store) => store.index("created_at").getAllKeys(range))
    const expired = await keys(IDBKeyRange.upperBound(Date.now() - ageMaxMs))
    const all = await keys()
    const surplus = all?.slice(0, Math.max(0, all.length - max)) ?? []
    for (const key of new Set([...(expired ?? []), ...surplus])) {
      await this.#ask(name, "readwrite", (store) => store.delete(key))
    }
  }

  async #ask<T>(name: string, mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest): Promise<T | undefined> {
    try {
      const database = await (this.#opened ??= open())
      if (!database) return undefined
      const transaction = database.transaction(name, mode)
      const [value] = await Promise.all([answer<T>(ask(transaction.objectStore(name))), mode === "readwrite" && committed(transaction)])
      return value
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

/** Waits for the end of the transaction: a full disk is reported only there, after the request has succeeded. */
function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB failed"))
  })
}

async function open(): Promise<IDBDatabase | undefined> {
  try {
    const request = indexedDB.open(NAME, VERSION)
    request.onupgradeneeded = ({ oldVersion }) => {
      const store = (name: string): void => {
        request.result.createObjectStore(name, { keyPath: "key" }).createIndex("created_at", "created_at")
      }
      if (oldVersion < 1) {
        store("results")
        request.result.createObjectStore("runs")
      }
      if (oldVersion < 2) store("edits")
    }
    const database = await answer<IDBDatabase>(request)
    // Closes the database for a newer version of the page in another tab, which would otherwise wait.
    database.onversionchange = () => database.close()
    return database
  } catch {
    return undefined
  }
}
