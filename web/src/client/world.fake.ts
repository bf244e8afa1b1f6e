/** A page's client whose fragment, database, parent page and queue server are fakes. Tests control the time. */
import { afterEach, beforeEach, vi } from "vitest"
import { jobIdOf } from "../definition/canonical.ts"
import type { Address } from "../hash/address.ts"
import { encodeB64Json } from "../hash/b64json.ts"
import type { Database } from "../job/database.ts"
import type { Parent, ParentListener } from "../metaframe/parent.ts"
import { FakeServer } from "../queue/server.fake.ts"
import { Tokens } from "../queue/token.ts"
import type { Definition, Job, JobResult } from "../wire.ts"
import type { Client, PastRun } from "./client.ts"
import type { Guard } from "./guard.svelte.ts"
import { openClient } from "./client.svelte.ts"

class FakeAddress implements Address {
  readonly #listeners = new Set<() => void>()
  constructor(public hash: string) {}
  read(): string { return this.hash }
  write(hash: string): void {
    this.hash = hash
    this.#listeners.forEach((listener) => listener())
  }
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  onLeave(): () => void { return () => {} }
}

class FakeDatabase implements Database {
  readonly results = new Map<string, Job>()
  kept: readonly PastRun[] = []
  result(key: string): Promise<Job | undefined> { return Promise.resolve(this.results.get(key)) }
  keepResult(key: string, job: Job): Promise<void> { this.results.set(key, job); return Promise.resolve() }
  forgetResult(key: string): Promise<void> { this.results.delete(key); return Promise.resolve() }
  runs(): Promise<readonly PastRun[]> { return Promise.resolve(this.kept) }
  keepRuns(runs: readonly PastRun[]): Promise<void> { this.kept = runs; return Promise.resolve() }
  readonly keptEdits = new Map<string, unknown>()
  edits(key: string): Promise<unknown> { return Promise.resolve(this.keptEdits.get(key)) }
  keepEdits(key: string, edits: unknown): Promise<boolean> { this.keptEdits.set(key, edits); return Promise.resolve(true) }
  forgetEdits(key: string): Promise<void> { this.keptEdits.delete(key); return Promise.resolve() }
}

class FakeParent implements Parent {
  readonly isEmbedded = true
  isConnected = false
  listener!: ParentListener
  readonly sent: Record<string, unknown>[] = []
  send(outputs: Readonly<Record<string, unknown>>): void { this.sent.push({ ...outputs }) }
  dispose(): void {}
  connects(): void {
    this.isConnected = true
    this.listener.onConnected()
  }
}

export interface World {
  client: Client
  server: FakeServer
  address: FakeAddress
  database: FakeDatabase
  parent: FakeParent
}

/** Builds values of the fragment, ids of jobs, and fragments; each job here is `command` in the image `a`. */
export const b64 = (value: unknown): string => encodeURIComponent(encodeB64Json(value))
export const idOf = (command: string, more: object = {}): string =>
  jobIdOf({ image: "a", command, ...more } as Definition)
export const fragment = (command: string, more = ""): string => `#?job=${b64({ image: "a", command })}&queue=q${more}`
export const wait = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const clients: Client[] = []

/** Opens a client with a fragment. The database may come from an earlier page. */
export async function world(hash: string, database = new FakeDatabase(), guard?: Guard): Promise<World> {
  const server = new FakeServer()
  const address = new FakeAddress(hash)
  const parent = new FakeParent()
  const client = openClient({
    root: new URL("https://host/"), address, database,
    queue: { connect: server.connect, fetcher: server.fetch, tokens: new Tokens(undefined) },
    openParent: (listener) => { parent.listener = listener; return parent },
    ...(guard && { guard }),
  })
  clients.push(client)
  await wait(10)
  return { client, server, address, database, parent }
}

/** A finished record with its result. */
export const finished = (outputs: JobResult["outputs"], more: Partial<JobResult> = {}, time = 9, queuedTime = 1): Job => ({
  state: "Finished", finishedReason: "Success", time, queuedTime, worker: "w", namespaces: ["_"],
  finished: {
    type: "Finished", reason: "Success", time,
    result: { StatusCode: 0, logs: [["done", 1]], isTimedOut: false, outputs, ...more },
  },
})

/** Answers with results by id; every other path is not found. */
export function results(server: FakeServer, byId: Record<string, Job>): void {
  server.answers = (url) => {
    const id = /\/j\/([^/]+)\/result\.json$/.exec(url)?.[1]
    return id !== undefined ? Response.json({ data: byId[id] ?? null }) : Response.json({ error: "not found" }, { status: 404 })
  }
}

/** A finished record as a message of the socket contains it: without its result. */
export const ended = { state: "Finished", finishedReason: "Success", time: 9 } as const
/** The requested addresses that contain `part`. */
export const urlsOf = (server: FakeServer, part: string): string[] =>
  server.requests.map(({ url }) => url).filter((url) => url.includes(part))

/** Stops the clock for each test, and disposes of its clients. */
export function inFakeTime(): void {
  beforeEach(() => { vi.useFakeTimers({ now: 1_700_000_000_000 }) })
  afterEach(() => {
    clients.splice(0).forEach((client) => client.dispose())
    vi.useRealTimers()
  })
}
