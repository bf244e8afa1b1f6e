import { afterEach, beforeEach, expect, test, vi } from "vitest"
import type { PastRun } from "../client/client.ts"
import { jobIdOf } from "../definition/canonical.ts"
import type { Address } from "../hash/address.ts"
import { encodeB64Json } from "../hash/b64json.ts"
import type { Database } from "../job/database.ts"
import type { Parent, ParentListener } from "../metaframe/parent.ts"
import { FakeServer } from "../queue/server.fake.ts"
import { Tokens } from "../queue/token.ts"
import type { Definition, Job, JobResult } from "../wire.ts"
import type { Client } from "./client.ts"
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

interface World { client: Client; server: FakeServer; address: FakeAddress; database: FakeDatabase; parent: FakeParent }

const b64 = (value: unknown): string => encodeURIComponent(encodeB64Json(value))
const idOf = (command: string, more: object = {}): string => jobIdOf({ image: "a", command, env: {}, ...more } as Definition)
const fragment = (command: string, more = ""): string => `#?job=${b64({ image: "a", command })}&queue=q${more}`
const wait = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const clients: Client[] = []

async function world(hash: string, database = new FakeDatabase()): Promise<World> {
  const server = new FakeServer()
  const address = new FakeAddress(hash)
  const parent = new FakeParent()
  const client = openClient({
    root: new URL("https://host/"), address, database,
    queue: { connect: server.connect, fetcher: server.fetch, tokens: new Tokens(undefined) },
    openParent: (listener) => { parent.listener = listener; return parent },
  })
  clients.push(client)
  await wait(10)
  return { client, server, address, database, parent }
}

const finished = (outputs: JobResult["outputs"], more: Partial<JobResult> = {}, time = 9, queuedTime = 1): Job => ({
  state: "Finished", finishedReason: "Success", time, queuedTime, worker: "w", namespaces: ["_"],
  finished: { type: "Finished", reason: "Success", time, result: { StatusCode: 0, logs: [["done", 1]], isTimedOut: false, outputs, ...more } },
})

/** Answers results by id; every other path is not found. */
function results(server: FakeServer, byId: Record<string, Job>): void {
  server.answers = (url) => {
    const id = /\/j\/([^/]+)\/result\.json$/.exec(url)?.[1]
    return id !== undefined ? Response.json({ data: byId[id] ?? null }) : Response.json({ error: "not found" }, { status: 404 })
  }
}

const ended = { state: "Finished", finishedReason: "Success", time: 9 } as const
const urlsOf = (server: FakeServer, part: string): string[] => server.requests.map(({ url }) => url).filter((url) => url.includes(part))

beforeEach(() => { vi.useFakeTimers({ now: 1_700_000_000_000 }) })
afterEach(() => {
  clients.splice(0).forEach((client) => client.dispose())
  vi.useRealTimers()
})

test("without an image it is empty, without a queue it says so, and a broken link blanks nothing", async () => {
  const { client } = await world("#?queue=q&job=broken")
  expect([client.job.phase, client.problems.map(({ key }) => key)]).toEqual(["empty", ["hash:job"]])
  client.params.setJob({ image: "a" })
  client.params.setQueue("")
  await wait(500)
  expect(client.job.phase).toBe("no-queue")
})

test("a click shows submitting at once, sends one submission in the form of existing clients, and the server's word confirms it", async () => {
  const { client, server } = await world(fragment("x"))
  server.opens()
  client.run()
  client.run()
  expect(client.job.phase).toBe("submitting")
  await wait(300)
  const id = idOf("x")
  expect(server.changes()).toHaveLength(1)
  expect(server.changes()[0]).toEqual({
    state: "Queued", job: id, tag: "",
    value: { type: "Queued", time: expect.any(Number), enqueued: { id, definition: { image: "a", command: "x", env: {} }, control: { namespace: "_" } } },
  })
  server.tells({ [id]: { state: "Queued" } }, false)
  expect(client.job.phase).toBe("queued")
  await wait(10)
  expect(client.history.map(({ id: run, phase, queue }) => [run, phase, queue])).toEqual([[id, "queued", "q"]])
})

test("the job is asked for on every opening and after every change, and its earlier result shows without a run", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}, { StatusCode: 3 }) })
  await wait(1_000)
  server.opens()
  expect(server.messages()).toContainEqual({ type: "QueryJob", payload: { jobId: id } })
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect([client.job.phase, client.job.result?.StatusCode]).toEqual(["failed", 3])
  expect(client.job.explanation).toBe("The program ended with exit code 3.")
})

test("autostart submits once a connection while the server does not know the job, and never what is there already", async () => {
  const { client, server } = await world(fragment("x", "&autostart=true"))
  for (let n = 0; n < 10; n++) {
    server.opens()
    server.tells({}, true)
    server.tells({}, false)
    await wait(900)
    server.closes()
    await wait(11_000)
  }
  const nFlapping = server.changes().length
  expect(nFlapping).toBeGreaterThan(0)
  expect(nFlapping).toBeLessThanOrEqual(10)
  server.opens()
  server.tells({ [idOf("x")]: { state: "Queued" } }, false)
  await wait(1_000)
  const nKnown = server.changes().length
  server.closes()
  await wait(11_000)
  server.opens()
  server.tells({ [idOf("x")]: { state: "Running" } }, false)
  await wait(3_000)
  expect(server.changes().length).toBe(nKnown)
  expect(client.job.phase).toBe("running")
})

test("a flapping socket whose server knows the job gets one submission of an automatic start", async () => {
  const { server } = await world(fragment("x", "&autostart=true"))
  for (let n = 0; n < 10; n++) {
    server.opens()
    server.tells({}, true)
    if (server.changes().length > 0) server.tells({ [idOf("x")]: { state: "Queued" } }, false)
    else server.tells({}, false)
    await wait(1_000)
    server.closes()
    await wait(11_000)
  }
  expect(server.changes()).toHaveLength(1)
})

test("stopping names the namespace, shows at once, and no late word of the server brings the job back", async () => {
  const { client, server } = await world(fragment("x", `&autostart=true&control=${b64({ namespace: "mine" })}`))
  server.opens()
  server.tells({}, false)
  await wait(300)
  server.tells({ [idOf("x")]: { state: "Running", time: 5 } }, false)
  client.stop()
  expect(client.job.phase).toBe("cancelled")
  expect(server.changes().at(-1)).toMatchObject({ state: "Finished", value: { reason: "Cancelled", namespace: "mine", message: "Job cancelled by client" } })
  server.tells({ [idOf("x")]: { state: "Running", time: 5 } }, true)
  server.closes()
  await wait(11_000)
  server.opens()
  server.tells({}, false)
  await wait(5_000)
  expect(client.job.phase).toBe("cancelled")
  expect(server.changes().filter(({ state }) => state === "Queued")).toHaveLength(1)
})

test("what was stopped before it was sent is never sent", async () => {
  const { client, server } = await world(fragment("x"))
  client.run()
  await wait(300)
  client.stop()
  server.opens()
  await wait(1_000)
  expect(server.changes().map(({ state }) => state)).toEqual(["Finished"])
})

test("running again deletes and queues in one go, and keeps the old result until the new one is there", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({ a: { value: "old", type: "utf8" } }) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  client.runAgain()
  expect(client.job.phase).toBe("submitting")
  await wait(300)
  expect(server.changes().map(({ state, value }) => [state, "reason" in value && value.reason])).toEqual([["Finished", "Deleted"], ["Queued", false]])
  server.tells({ [id]: ended }, true)
  expect(client.job.phase).toBe("submitting")
  server.tells({ [id]: { state: "Queued", time: 20, queuedTime: 20 } }, false)
  expect([client.job.phase, client.job.result?.outputs.a?.value]).toEqual(["queued", "old"])
  results(server, { [id]: finished({ a: { value: "new", type: "utf8" } }, {}, 30, 20) })
  server.tells({ [id]: { ...ended, time: 30, queuedTime: 20 } }, false)
  await wait(10)
  expect([client.job.phase, client.job.result?.outputs.a?.value]).toEqual(["succeeded", "new"])
})

test("clearing forgets the result here, in the database and on the server", async () => {
  const { client, server, database } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect(database.results.size).toBe(1)
  client.clearResult()
  expect([client.job.phase, client.job.result, database.results.size]).toEqual(["ready", undefined, 0])
  expect(server.changes()[0]).toMatchObject({ value: { reason: "Deleted", namespace: "_" } })
})

test("only the current job's result is loaded, once, though many jobs finish and the server repeats itself", async () => {
  const { server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}) })
  server.opens()
  for (let n = 0; n < 5; n++) server.tells({ [id]: ended, other: ended, third: ended }, n % 2 === 0)
  await wait(100)
  for (let n = 0; n < 5; n++) server.tells({ [id]: ended, other: ended }, true)
  await wait(100)
  expect(urlsOf(server, "result.json")).toEqual([`https://host/q/q/j/${id}/result.json`])
})

test("each job's outputs are delivered once and as its own, and names that disappeared are sent as undefined", async () => {
  const { client, server, parent } = await world(fragment("0"))
  const ids = ["0", "1", "2"].map((command) => idOf(command))
  results(server, Object.fromEntries(ids.map((id, n) => [id, finished({ [`only${n}`]: { value: `${n}`, type: "utf8" }, key: { value: `k${n}`, type: "key" } })])))
  server.opens()
  parent.connects()
  for (const n of [0, 1, 2, 0]) {
    client.params.setJob({ image: "a", command: `${n}` })
    await wait(1_000)
    expect(client.job.id).toBe(ids[n])
    server.tells({ [ids[n]!]: ended }, false)
    await wait(10)
    server.tells({ [ids[n]!]: ended }, true)
    await wait(10)
  }
  const key = (n: number): object => ({ key: { value: `https://host/f/k${n}`, type: "url" } })
  expect(parent.sent).toEqual([
    { only0: { value: "0", type: "utf8" }, ...key(0) },
    { only1: { value: "1", type: "utf8" }, ...key(1), only0: undefined },
    { only2: { value: "2", type: "utf8" }, ...key(2), only1: undefined },
    { only0: { value: "0", type: "utf8" }, ...key(0), only2: undefined },
  ])
  expect(Object.keys(parent.sent[1]!)).toContain("only0")
  expect(client.metaframe.delivered?.jobId).toBe(ids[0])
})

test("a parent that comes late gets the outputs, and one that sets jobs the status too", async () => {
  const { server, parent } = await world(fragment("x", "&allowsetjob=true"))
  const id = idOf("x")
  results(server, { [id]: finished({}, { logs: [["out ", 1], ["err", 2, true]], duration: 12 }) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect(parent.sent).toEqual([])
  parent.connects()
  expect(parent.sent).toEqual([{ "job/result.json": {
    stdout: [["out", 1]], stderr: [["err", 2, true]], statusCode: 0, error: undefined, duration: 12, isTimedOut: false,
    url: `https://host/q/q/j/${id}`,
  } }])
})

test("inputs that come in a burst are one rebuild with all of them, and job is no file", async () => {
  const { client, server, parent } = await world(fragment("x", "&autostart=true"))
  server.opens()
  parent.connects()
  for (let n = 0; n < 10; n++) {
    parent.listener.onInputs({ [`/f${n}`]: `${n}`, job: { image: "never" } })
    await wait(20)
  }
  await wait(300)
  server.tells({}, false)
  await wait(300)
  expect(server.changes()).toHaveLength(1)
  expect(Object.keys(client.job.definition!.inputs!)).toEqual(Array.from({ length: 10 }, (_, n) => `f${n}`))
  expect(client.files).toHaveLength(10)
})

test("with allowsetjob a job of either name, as an object or as JSON, becomes the job of the fragment, once", async () => {
  const { client, parent, address } = await world("#?queue=q&allowsetjob=true")
  parent.listener.onInputs({ "metaframe/job": { image: "one" } })
  await wait(500)
  expect(address.hash).toContain(`job=${b64({ image: "one" })}`)
  parent.listener.onInputs({ job: '{"image":"two"}' })
  await wait(500)
  expect([client.params.job, client.files]).toEqual([{ image: "two" }, []])
  client.params.setJob({ image: "edited" })
  parent.listener.onInputs({ job: '{"image":"two"}', other: "x" })
  await wait(1_000)
  expect(client.params.job).toEqual({ image: "edited" })
  parent.listener.onInputs({ job: "not json" })
  await wait(500)
  expect(client.problems.map(({ key }) => key)).toEqual(["input:job"])
})

test("the wait is explained by what the server says of it", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  server.answers = () => Response.json({
    jobs: { a: { state: "Queued" }, b: { state: "Queued" }, [id]: { state: "Queued" } }, localWorkers: { w: {}, v: {} },
    waiting: [{ jobId: id, position: 3, why: "every worker that could run it is busy" }],
  })
  server.opens()
  server.tells({ [id]: { state: "Queued" } }, false)
  expect(client.job.explanation).toBe("No worker is connected to this queue.")
  await wait(500)
  expect(client.job.explanation).toBe("Position 3 of 3. 2 workers are connected; every worker that could run it is busy.")
})

test("who comes while a job runs gets the log so far and goes on without gap or doubled line", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  let answer: (response: Response) => void = () => {}
  server.answers = (url) => {
    if (url.includes("build-logs")) return Response.json({ data: [["pull", 0]], nextCursor: 1, isFinal: true })
    return new Promise((resolve) => { answer = resolve })
  }
  server.opens()
  server.tells({ [id]: { state: "Running" } }, false)
  await wait(10)
  server.logs(id, "Running", "two", "three")
  answer(Response.json({ data: [["one", 5], ["two", 0]], nextCursor: 2, isFinal: true }))
  await wait(50)
  server.logs(id, "Running", "four")
  server.logs("another", "Running", "foreign")
  const texts = Array.from({ length: client.job.log.length }, (_, n) => client.job.log.at(n)!.text)
  expect(texts).toEqual(["pull", "one", "two", "three", "four"])
})

test("a job that left the list while it was active is asked for, and what replaced it is told", async () => {
  const { client, server } = await world(fragment("x", "&autostart=true"))
  const id = idOf("x")
  server.opens()
  server.tells({ [id]: { state: "Queued" } }, false)
  server.answers = () => Response.json({ data: { definition: {}, results: { ...ended, finishedReason: "JobReplacedByClient", queuedTime: 1 } } })
  server.tells({}, true)
  await wait(1_000)
  expect([client.job.phase, server.changes()]).toEqual(["replaced", []])
})

test("what the socket does not confirm is sent by request, and a refusal is told in the server's words", async () => {
  const { client, server } = await world(fragment("x"))
  server.opens()
  server.answers = (_, init) => init.method === "POST" ? Response.json({ error: "the queue is full" }, { status: 400 }) : Response.json({})
  client.run()
  await wait(4_000)
  expect(client.problems.map(({ text }) => text)).toEqual(["The queue refuses the job: the queue is full."])
  expect(client.job.phase).toBe("ready")
})

test("the longest run of the parameter goes into the control, where it changes no id", async () => {
  const { client, server } = await world(fragment("x", "&maxJobDuration=5m&debug=true"))
  server.opens()
  client.run()
  await wait(300)
  expect(client.job.id).toBe(idOf("x"))
  expect(server.changes()[0]).toMatchObject({ value: { enqueued: { control: { namespace: "_", maxDuration: "5m" }, debug: true } } })
})

test("a variable that alone changes leads to another job", async () => {
  const { client, address } = await world(fragment("x", "&v=1"))
  const before = client.job.id
  address.write(fragment("x", "&v=2"))
  await wait(500)
  expect(client.job.id).toBe(idOf("x", { env: { v: "2" } }))
  expect(client.job.id).not.toBe(before)
})

test("a result kept here shows before the server answers, and history survives a reload", async () => {
  const first = await world(fragment("x"))
  const id = idOf("x")
  results(first.server, { [id]: finished({}) })
  first.server.opens()
  first.client.run()
  await wait(300)
  first.server.tells({ [id]: ended }, false)
  await wait(10)
  first.client.dispose()
  const { client } = await world(fragment("x"), first.database)
  await wait(10)
  expect([client.job.phase, client.history.map(({ phase }) => phase)]).toEqual(["succeeded", ["succeeded"]])
  client.forgetHistory()
  await wait(1)
  expect([client.history, first.database.kept]).toEqual([[], []])
})

test("dropped text becomes a file of the fragment, and other files become inputs that are removed again", async () => {
  const { client } = await world(fragment("x"))
  client.addFiles([new File(["print(1)"], "main.py"), new File([Uint8Array.of(0, 255)], "b.bin")])
  await vi.waitFor(() => expect(client.files).toHaveLength(1))
  await wait(500)
  expect(client.params.inputs).toEqual({ "main.py": "print(1)" })
  expect(client.job.definition?.inputs).toEqual({ "b.bin": { value: "AP8=", type: "base64" } })
  client.removeFile("b.bin")
  await wait(500)
  expect(client.job.definition?.inputs).toBeUndefined()
})
