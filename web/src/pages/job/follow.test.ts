import { afterEach, describe, expect, it, vi } from "vitest"
import { addressIn, jobAddress } from "./address.ts"
import { FollowedJob } from "./job.svelte.ts"

const root = new URL("https://host/")
const definition = { image: "alpine", command: "echo hi" }
const running = { state: "Running", queuedTime: 1, time: 2, worker: "w", namespaces: ["_"] }
const finished = { ...running, state: "Finished", finishedReason: "Success", finished: { type: "Finished", reason: "Success",
  time: 3, result: { StatusCode: 0, logs: [], isTimedOut: false, outputs: {} } } }

/** A server that answers each path with the next of its answers; the last one is repeated. */
function serve(answers: Record<string, unknown[]>): { path: string; headers: Record<string, string> }[] {
  const asked: { path: string; headers: Record<string, string> }[] = []
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    const path = url.slice(root.href.length)
    asked.push({ path, headers: init.headers as Record<string, string> })
    const given = answers[path] ?? []
    const answer = given.length > 1 ? given.shift() : given[0]
    if (answer instanceof Response) return answer
    if (answer === undefined) return new Response("{\"error\": \"Job not found\"}", { status: 404 })
    return new Response(typeof answer === "string" ? answer : JSON.stringify(answer))
  })
  return asked
}
afterEach(() => vi.unstubAllGlobals())

const texts = (job: FollowedJob): string[] => Array.from({ length: job.log.length }, (_, at) => job.log.at(at)?.text ?? "")
const ended = (job: FollowedJob): Promise<void> =>
  vi.waitFor(() => expect(job.record?.state).toBe("Finished"), { timeout: 8_000 })

describe("a job that is followed", () => {
  it("streams from its queue, resumes where it was cut off, and fetches the result at the end", async () => {
    const first = 'event: state\nid: 0.0\ndata: {"state":"Running"}\n\n'
      + 'event: run-log\nid: 0.1\ndata: {"lines":[["one",1]],"cursor":1}\n\n'
    const second = 'event: run-log\nid: 0.2\ndata: {"lines":[["two",2]],"cursor":2}\n\n'
      + 'event: final\nid: 0.2\ndata: {"state":"Finished","reason":"Success"}\n\n'
    const asked = serve({
      "q/my%20queue/j/a": [{ data: { definition, results: running } }, { data: { definition, results: running } },
        { data: { definition, results: finished } }],
      "q/my%20queue/j/a/history.json": [{ data: [] }],
      "q/my%20queue/j/a/stream": [first, second],
    })
    const job = new FollowedJob(jobAddress("j/a", "#?queue=my%20queue", root), "a-token")
    await ended(job)
    expect(texts(job)).toEqual(["one", "two"])
    const streams = asked.filter(({ path }) => path.endsWith("/stream"))
    expect(streams.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "0.1"])
    expect(asked.every(({ path, headers }) => !path.includes("token")
      && headers["Authorization"] === "Bearer a-token")).toBe(true)
    job.dispose()
  }, 15_000)

  it("is polled without a queue, each line once", async () => {
    const slice = (lines: unknown[], nextCursor: number, isFinal: boolean): unknown => ({ data: lines, nextCursor, isFinal })
    serve({
      "j/b.json": [{ data: { definition, results: running } }, { data: { definition, results: finished } }],
      "j/b/history.json": [{ data: [{ state: "Queued", time: 1, event: "queued" }] }],
      "j/b/build-logs.json?since=0": [slice([], 0, false), slice([], 0, true)],
      "j/b/run-logs.json?since=0": [slice([["one", 1]], 1, false)],
      "j/b/run-logs.json?since=1": [slice([], 1, false), slice([["two", 2]], 2, true)],
    })
    const job = new FollowedJob(jobAddress("j/b", "", root))
    await ended(job)
    await vi.waitFor(() => expect(texts(job)).toEqual(["one", "two"]))
    expect([job.phase, job.history.length, job.definition]).toEqual(["shown", 1, definition])
    job.dispose()
  }, 15_000)

  it("is missing or needs a token, and is found with it", async () => {
    serve({})
    const missing = new FollowedJob(jobAddress("j/none", "", root))
    await vi.waitFor(() => expect(missing.phase).toBe("missing"))
    const refused = new Response("{\"error\": \"this queue asks for a token\"}", { status: 401 })
    serve({
      "q/locked/j/a": [refused, { data: { definition, results: finished } }], "q/locked/j/a/history.json": [{ data: [] }],
      "q/locked/j/a/stream": ["event: final\ndata: {}\n\n"],
    })
    const locked = new FollowedJob(jobAddress("j/a", "#?queue=locked", root))
    await vi.waitFor(() => expect([locked.phase, locked.problem]).toEqual(["denied", "this queue asks for a token"]))
    locked.setToken("another-token")
    await vi.waitFor(() => expect([locked.phase, locked.problem]).toEqual(["shown", ""]))
    locked.dispose()
  })

  it("is followed in the queue that this browser knows, and by its id alone if that was wrong", async () => {
    const asked = serve({
      "q/mine/j/a": [{ data: { definition, results: finished } }], "q/mine/j/a/stream": ["event: final\ndata: {}\n\n"],
      "j/b.json": [{ data: { definition, results: finished } }],
      "j/b/build-logs.json?since=0": [{ data: [], nextCursor: 0, isFinal: true }],
      "j/b/run-logs.json?since=0": [{ data: [["one", 1]], nextCursor: 1, isFinal: true }],
    })
    const known = new FollowedJob(jobAddress("j/a", "", root), "a-token", async (id) => addressIn("mine", id, root))
    await ended(known)
    expect([known.address.queue, known.phase]).toEqual(["mine", "shown"])
    expect(asked.every(({ path, headers }) => path.startsWith("q/mine/") && headers["Authorization"] === "Bearer a-token"))
      .toBe(true)
    const other = new FollowedJob(jobAddress("j/b", "", root), undefined, async (id) => addressIn("wrong", id, root))
    await ended(other)
    await vi.waitFor(() => expect(texts(other)).toEqual(["one"]))
    expect([other.address.queue, other.phase]).toEqual([undefined, "shown"])
    for (const job of [known, other]) job.dispose()
  })

  it("continues with its log in place when its queue becomes known", async () => {
    const asked = serve({
      "j/a.json": [{ data: { definition, results: running } }], "j/a/history.json": [{ data: [] }],
      "j/a/build-logs.json?since=0": [{ data: [], nextCursor: 0, isFinal: false }],
      "j/a/run-logs.json?since=0": [{ data: [["one", 1]], nextCursor: 1, isFinal: false }],
      "j/a/run-logs.json?since=1": [{ data: [], nextCursor: 1, isFinal: false }],
      "q/mine/j/a": [{ data: { definition, results: finished } }],
      "q/mine/j/a/stream": ['event: run-log\nid: 0.2\ndata: {"lines":[["two",2]],"cursor":2}\n\nevent: final\ndata: {}\n\n'],
    })
    const job = new FollowedJob(jobAddress("j/a", "", root))
    await vi.waitFor(() => expect(texts(job)).toEqual(["one"]))
    job.setAddress(addressIn("mine", "a", root))
    await ended(job)
    await vi.waitFor(() => expect(texts(job)).toEqual(["one", "two"]))
    expect(asked.find(({ path }) => path === "q/mine/j/a/stream")?.headers["last-event-id"]).toBe("0.1")
    job.dispose()
  })
})
