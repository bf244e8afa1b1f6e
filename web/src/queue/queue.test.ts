import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Problems } from "../client/problems.svelte.ts"
import type { EnqueueJob, Job, StateChange } from "../wire.ts"
import { resolveQueue, toggledLocal } from "./address.ts"
import { readFrame, readJob, readLines } from "./frames.ts"
import { CONFIRM_MS } from "./outbox.ts"
import { Queue } from "./queue.svelte.ts"
import { FakeServer } from "./server.fake.ts"
import { Tokens } from "./token.ts"
import { winner } from "./winner.ts"

const ROOT = new URL("https://host/sub/")
const at = (queue: string, queueOverride = "", ignoreQueueOverride = false) =>
  resolveQueue({ queue, queueOverride, ignoreQueueOverride }, ROOT)

test("queues are names below the root, local, or addresses of other servers", () => {
  expect(at("")).toBeUndefined()
  expect(at("a b?c")).toMatchObject({ base: "https://host/sub", url: "https://host/sub/q/a%20b%3Fc",
    socketUrl: "wss://host/sub/q/a%20b%3Fc/client" })
  expect(at("local")).toMatchObject({ base: "http://localhost:8000", socketUrl: "ws://localhost:8000/q/local/client",
    isLocal: true })
  expect(at("http://h:81/n%20m")).toMatchObject({ base: "http://h:81", socketUrl: "ws://h:81/q/n%20m/client" })
  expect(at("https://h/below/q/n/")).toMatchObject({ base: "https://h/below", url: "https://h/below/q/n" })
  for (const name of ["http://h", "a/b", "q".repeat(256)]) expect(() => at(name)).toThrow(TypeError)
  expect(at("a", "b")).toMatchObject({ name: "b", isOverridden: true })
  expect(at("a", "b", true)).toMatchObject({ name: "a", isOverridden: false })
})

test("leaving local mode brings the earlier queue back, and forbidden storage does no harm", () => {
  const kept = new Map<string, string>()
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) =>
    void kept.set(key, value) } as unknown as Storage
  expect(toggledLocal("mine", storage)).toBe("local")
  expect(kept.get("previous-queue")).toBe("mine")
  expect(toggledLocal("local", storage)).toBe("mine")
  const forbidden = { setItem() { throw new Error("no") }, getItem() { throw new Error("no") } } as unknown as Storage
  expect([toggledLocal("mine", forbidden), toggledLocal("local", forbidden)]).toEqual(["local", ""])
})

test("hostile frames are ignored or corrected, and none throws", () => {
  for (const text of ["PONG", "x", "{", "[]", "{}", '{"type":"JobStates"}', '{"type":"JobStates","payload":{"state":5}}',
    '{"type":"Workers","payload":{"workers":5}}', '{"type":"JobStatusPayload","payload":{"jobId":1,"step":"Running"}}',
    '{"type":"Nonsense","payload":{}}']) {
    expect(readFrame(text), text).toBeUndefined()
  }
  const jobs = { a: 5, b: { state: "Bad", time: 1 }, c: { state: "Finished", time: 1 },
    d: { state: "Queued", time: 1, worker: {}, namespaces: 5 } }
  const past = { type: "JobStateUpdates", payload: { state: { jobs }, isSubset: true, isPast: true } }
  expect(readFrame(JSON.stringify(past)), "a past state does not replace a later one").toBeUndefined()
  expect(readFrame(JSON.stringify({ type: "JobStates", payload: { state: { jobs } } }))).toEqual({
    type: "jobs", isWhole: true, jobs: { d: { state: "Queued", time: 1, queuedTime: 1, worker: "", namespaces: [] } },
  })
  expect(readFrame(JSON.stringify({ type: "Workers", payload: { workers: [1, { id: "w", cpus: "x" }] } }))).toEqual({
    type: "workers", workers: [{ id: "w", version: "", cpus: 0, gpus: 0, time: 0, maxJobDuration: "" }],
  })
  const logs = [["a", 1], ["b", 2, true], [5], "x", ["c"]]
  expect(readFrame(JSON.stringify({ type: "JobStatusPayload", payload: { jobId: "j", step: "Running", logs } }))).toEqual({
    type: "logs", logs: { jobId: "j", step: "Running", logs: [["a", 1], ["b", 2, true], ["c", 0]] },
  })
  const numbered = (lines: unknown[], cursor: unknown): unknown =>
    readFrame(JSON.stringify({ type: "JobStatusPayload", payload: { jobId: "j", step: "Running", logs: lines, cursor } }))
  expect(numbered([["a", 1]], 7)).toMatchObject({ logs: { cursor: 7 } })
  for (const cursor of ["7", 0, 1.5, -1, null]) expect(numbered([["a", 1]], cursor)).not.toHaveProperty("logs.cursor")
  expect(numbered([["a", 1], 5], 7), "the number of lines that are none counts nothing").not.toHaveProperty("logs.cursor")
})

test("codes, faults and missing outputs are checked, and anything else is left out", () => {
  const read = (finished: object): Job["finished"] =>
    readJob({ state: "Finished", time: 1, finished: { reason: "Error", time: 1, ...finished } })?.finished
  expect(read({ code: "pull-failed", fault: "network" })).toMatchObject({ code: "pull-failed", fault: "network" })
  for (const bad of [{ code: "No code", fault: "nobody" }, { code: 5, fault: {} }]) {
    expect(Object.keys(read(bad)!)).toEqual(["reason", "time"])
  }
  const result = (missing: unknown, logsOmitted?: unknown) => read({ result: { outputs: {}, missing, logsOmitted } })!.result!
  expect(result({ outputs: 3, why: [{ code: "link", outputs: 3, names: ["a", 5], message: "m" }, 7] }).missing).toEqual(
    { outputs: 3, why: [{ code: "link", outputs: 3, names: ["a", ""], message: "m" }] })
  for (const bad of [5, "x", {}, { outputs: "many" }]) expect(result(bad)).not.toHaveProperty("missing")
  expect([result(undefined, { lines: 5, url: "x" }).logsOmitted, result(undefined, 5).logsOmitted]).toEqual(
    [{ lines: 5, url: "x" }, undefined])
})

test("a log of more lines than the page shows at once is read to its last line", () => {
  const lines = Array.from({ length: 150_001 }, (_, n) => [`line ${n}`, n])
  expect(readLines(lines).at(-1)).toEqual(["line 150000", 150_000])
})

test("the winner of two records is the one that the table names", () => {
  const job = (kind: string, time: number, worker = "w"): Job => {
    const [state, finishedReason] = kind.split(" ") as [Job["state"], Job["finishedReason"]]
    return { state, time, queuedTime: 0, worker, namespaces: [], ...(finishedReason && { finishedReason }) }
  }
  const wins = (a: Job, b: Job): string => (winner(a, b) === a ? "A" : "B")
  expect(wins(job("Queued", 1), job("Queued", 2)) + wins(job("Queued", 1), job("Queued", 1))).toBe("AB")
  expect(wins(job("Running", 9, "a"), job("Running", 1, "b")) + wins(job("Running", 1, "b"), job("Running", 1, "b"))).toBe("AB")
  expect(wins(job("Running", 9), job("Finished Cancelled", 1))).toBe("B")
  const cancelled = (time: number) => job("Finished Cancelled", time)
  expect([1, 2, 3].map((time) => wins(job("Queued", time), cancelled(2)))).toEqual(["B", "B", "A"])
  expect([1, 2, 3].map((time) => wins(cancelled(2), job("Queued", time)))).toEqual(["A", "A", "B"])
  expect(wins(job("Finished Success", 1), job("Queued", 9))).toBe("A")
  expect(wins(job("Finished Success", 1), job("Finished Deleted", 1))).toBe("B")
  expect(wins(job("Removed", 1), job("Removed", 2)) + wins(job("Removed", 1), job("Queued", 1))).toBe("AB")
})

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

const submission = (job: string): StateChange =>
  ({ tag: "", job, state: "Queued",
    value: { type: "Queued", time: 1, enqueued: { id: job, definition: { image: "a" } } satisfies EnqueueJob } })

function open(queue = "q"): { server: FakeServer; queue: Queue; problems: Problems } {
  const server = new FakeServer()
  const problems = new Problems()
  const made = new Queue({ root: ROOT, problems, connect: server.connect, fetcher: server.fetch, tokens: new Tokens(undefined) })
  made.use({ queue, queueOverride: "", ignoreQueueOverride: false })
  return { server, queue: made, problems }
}

test("the socket pings, reconnects after silence, and never sends the word undefined", async () => {
  const { server, queue } = open()
  server.opens()
  expect(server.sent).toEqual(["PING"])
  server.says("PONG")
  await vi.advanceTimersByTimeAsync(5_000)
  expect(server.sent).toEqual(["PING", "PING"])
  await vi.advanceTimersByTimeAsync(10_000)
  expect(queue.connection).toBe("reconnecting")
  await vi.advanceTimersByTimeAsync(3_000)
  expect(server.urls).toHaveLength(2)
})

test("whole lists replace, updates merge, and another queue forgets all", async () => {
  const { server, queue } = open()
  server.opens()
  server.tells({ a: { state: "Queued" } }, true)
  server.tells({ b: { state: "Running" } }, false)
  await vi.advanceTimersByTimeAsync(100)
  expect(Object.keys(queue.jobs)).toEqual(["a", "b"])
  server.tells({ c: { state: "Queued" } }, true)
  await vi.advanceTimersByTimeAsync(100)
  expect(Object.keys(queue.jobs)).toEqual(["c"])
  queue.use({ queue: "other", queueOverride: "", ignoreQueueOverride: false })
  expect([Object.keys(queue.jobs), queue.connection, server.urls.at(-1)]).toEqual([[], "connecting",
    "wss://host/sub/q/other/client"])
})

test("a job submitted while the socket is closed is sent when it opens, and a flapping socket sends it once", async () => {
  const { server, queue } = open()
  queue.outbox.post([submission("j")])
  for (let n = 0; n < 20; n++) {
    server.opens()
    await vi.advanceTimersByTimeAsync(500)
    server.closes()
    await vi.advanceTimersByTimeAsync(10_000)
  }
  expect(server.changes()).toHaveLength(1)
  server.opens()
  server.tells({}, false)
  expect(server.changes()).toHaveLength(2)
  server.tells({ j: { state: "Queued" } }, false)
  expect(queue.outbox.has("j")).toBe(false)
})

test("a cancel made while the socket is closed is sent when it opens, until the job is gone", async () => {
  const { server, queue } = open()
  queue.cancel("j")
  server.opens()
  expect(server.changes()[0]).toMatchObject({ job: "j", value: { reason: "Cancelled", namespace: "*" } })
  server.tells({ j: { state: "Running" } }, true)
  expect(queue.outbox.has("j")).toBe(true)
  server.tells({ other: { state: "Running" } }, true)
  expect(queue.outbox.has("j")).toBe(false)
})

test("running again is confirmed by a new record only, and an unconfirmed change is reported", async () => {
  const { server, queue } = open()
  const unconfirmed = vi.fn()
  queue.listener = { onOpen() {}, onClose() {}, onJobs() {}, onLogs() {}, onVanished() {}, onUnconfirmed: unconfirmed }
  server.opens()
  const old: Job = { state: "Finished", finishedReason: "Success", time: 5, queuedTime: 3, worker: "", namespaces: [] }
  queue.outbox.post([submission("j")], old)
  server.tells({ j: { ...old } }, true)
  expect(queue.outbox.has("j")).toBe(true)
  await vi.advanceTimersByTimeAsync(CONFIRM_MS)
  expect(unconfirmed).toHaveBeenCalledTimes(1)
  server.tells({ j: { ...old, time: 9, queuedTime: 8 } }, false)
  expect(queue.outbox.has("j")).toBe(false)
})

test("a queue that requires a token says so, and the token goes with the socket and never into the fragment", async () => {
  const { server, queue, problems } = open()
  server.answers = () => new Response('{"error":"this queue asks for a token"}', { status: 401 })
  server.closes()
  await vi.advanceTimersByTimeAsync(1)
  expect(queue.needsToken).toBe(true)
  expect(problems.list[0]!.text).toContain("this queue asks for a token")
  queue.setToken(" secret/token ")
  expect(server.urls.at(-1)).toBe("wss://host/sub/q/q/client?token=secret%2Ftoken")
  server.answers = (_, init) => Response.json({ auth: (init.headers as Record<string, string>).Authorization })
  expect(await queue.read("status", AbortSignal.timeout(1_000))).toEqual({ auth: "Bearer secret/token" })
})
