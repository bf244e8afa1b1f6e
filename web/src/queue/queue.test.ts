import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Problems } from "../client/problems.svelte.ts"
import type { Job } from "../wire.ts"
import { resolveQueue, toggledLocal } from "./address.ts"
import { readFrame, readJob, readLines } from "./frames.ts"
import { TRIED_FOR_MS } from "./changes.ts"
import { Queue } from "./queue.svelte.ts"
import { FakeServer } from "./server.fake.ts"
import { Tokens } from "./token.ts"

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
    type: "jobs", isWhole: true, cursor: undefined, jobs: { d: { state: "Queued", time: 1, queuedTime: 1, worker: "", namespaces: [] } },
  })
  const cursor = (value: unknown): unknown =>
    readFrame(JSON.stringify({ type: "JobStates", payload: { state: { jobs: {} }, cursor: value } }))
  expect(cursor("18446744073709551615")).toMatchObject({ cursor: 18446744073709551615n })
  for (const bad of ["", "-1", "1.5", "0x1", "9".repeat(21), 7, null, {}]) expect(cursor(bad)).toMatchObject({ cursor: undefined })
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

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

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

const JOB = { id: "j", definition: { image: "a" } }
const no = (): Promise<boolean> => Promise.resolve(false)
const unreachable = (): Response => { throw new TypeError("no network") }

test("a change is sent again until the server acknowledges it, at once when the feed is open, and then never", async () => {
  const { server, queue } = open()
  server.answers = unreachable
  const troubles = vi.fn()
  const outcome = queue.submit(JOB, no, { onTrouble: troubles })
  await vi.advanceTimersByTimeAsync(8_000)
  expect([server.changes().length, troubles.mock.lastCall]).toEqual([4, ["the server cannot be reached"]])
  server.answers = () => Response.json({ success: true })
  server.opens()
  expect(await outcome).toEqual({ is: "sent" })
  await vi.advanceTimersByTimeAsync(60_000)
  expect([server.changes().length, queue.isChanging("j")]).toEqual([5, false])
})

test("a change that the server refuses, or that it cannot be told in time, says why", async () => {
  const { server, queue } = open()
  server.answers = () => Response.json({ error: "the queue is full" }, { status: 400 })
  expect(await queue.submit(JOB, no, {})).toEqual({ is: "refused", why: "the queue is full" })
  server.answers = () => Response.json({ error: "Job not found", code: "no-job" }, { status: 404 })
  expect(await queue.end("j", "clear", "_"), "there is nothing to be cleared").toEqual({ is: "sent" })
  server.answers = unreachable
  const outcome = queue.end("j", "cancel", "_")
  await vi.advanceTimersByTimeAsync(TRIED_FOR_MS)
  expect(await outcome).toEqual({ is: "given-up", why: "the server cannot be reached" })
})

test("changes of one job come one after another, those of two jobs at once, and a withdrawn one never", async () => {
  const { server, queue } = open()
  let answer = (_: Response): void => {}
  server.answers = (url, { method }) =>
    method === "POST" && url.endsWith("/q/q") ? new Promise((resolve) => { answer = resolve }) : Response.json({})
  const withdrawn = new AbortController()
  void queue.submit(JOB, no, {})
  const second = queue.submit({ ...JOB, definition: { image: "b" } }, no, { signal: withdrawn.signal })
  void queue.end("j", "clear", "mine")
  queue.cancel("other")
  withdrawn.abort()
  await vi.advanceTimersByTimeAsync(100)
  expect(server.changes().map(({ is, path }) => `${is} ${path}`)).toEqual(["submit /sub/q/q", "cancel /sub/q/q/j/other/cancel"])
  answer(Response.json({}))
  await vi.advanceTimersByTimeAsync(100)
  expect(await second).toEqual({ is: "withdrawn" })
  expect(server.changes().at(-1)).toMatchObject({ is: "clear", path: "/sub/q/q/j/j", namespace: "mine" })
  expect(server.changes()).toHaveLength(3)
})

test("a change goes to the queue of its time, and a cancel that is refused is reported", async () => {
  const { server, queue, problems } = open()
  server.answers = unreachable
  queue.cancel("j")
  await vi.advanceTimersByTimeAsync(10)
  queue.use({ queue: "other", queueOverride: "", ignoreQueueOverride: false })
  server.answers = () => Response.json({ error: "not now" }, { status: 400 })
  await vi.advanceTimersByTimeAsync(5_000)
  expect(server.changes().map(({ path }) => path)).toEqual(["/sub/q/q/j/j/cancel", "/sub/q/q/j/j/cancel"])
  expect(problems.list.map(({ text }) => text)).toEqual(["The job was not cancelled: not now."])
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
