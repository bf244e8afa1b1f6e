import { afterEach, beforeEach, expect, test, vi } from "vitest"
import type { Job } from "../wire.ts"
import { Details } from "./details.svelte.ts"
import { readBriefs, readLoads, readPositions } from "./details.ts"
import { Refusal } from "./requests.ts"

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

const job = (state: Job["state"]): Job => ({ state, time: 1, queuedTime: 1, worker: "", namespaces: ["_"] })
const ANSWERS: Record<string, unknown> = {
  "jobs?limit=200": { data: [{ id: "a", image: "alpine", command: "x", isBuild: false, isItem: false }] },
  "status": { waiting: [{ jobId: "a", position: 1, why: "a worker that can run it takes it as soon as it has room" }] },
  "report.json": { data: { workers: [{ id: "w", cpusUsed: 1.5, jobs: 2, tags: ["gpu", 3], isAlive: true, time: 5 }] } },
}

function watched(answers: (path: string) => unknown, jobs = new Map([["a", job("Queued")]]), nWorkers = 1) {
  const asked: string[] = []
  const ask = (path: string): Promise<unknown> => {
    asked.push(path)
    const answer = answers(path)
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }
  const details = new Details({ ask, mayAsk: () => true, jobs: () => jobs, nWorkers: () => nWorkers })
  return { details, asked, jobs, count: (path: string) => asked.filter((one) => one === path).length }
}
const seconds = (n: number): Promise<unknown> => vi.advanceTimersByTimeAsync(n * 1_000)

test("nothing is requested without a watcher, and nothing after the last one has left", async () => {
  const { details, asked } = watched((path) => ANSWERS[path])
  await seconds(60)
  expect(asked).toEqual([])
  const [stop, stopOther] = [details.watch("all"), details.watch("all")]
  await seconds(1)
  expect(details.briefs.get("a")).toEqual(
    { image: "alpine", command: "x", isBuild: false, isItem: false, queuedTime: 0, isFinished: false, code: undefined })
  const load = details.loads.get("w")
  expect([details.positions.get("a")?.position, load?.cpusUsed, load?.tags]).toEqual([1, 1.5, ["gpu"]])
  stop()
  stop()
  await seconds(20)
  const nWatched = asked.length
  expect(nWatched).toBeGreaterThan(3)
  stopOther()
  await seconds(60)
  expect(asked).toHaveLength(nWatched)
})

test("a route is requested only for data that it could add: unknown jobs, positions of waiting jobs, loads of workers", async () => {
  const { details, jobs, count } = watched((path) => ANSWERS[path], new Map([["a", job("Running")]]), 0)
  details.watch("all")
  await seconds(30)
  expect([count("jobs?limit=200"), count("status"), count("report.json")]).toEqual([1, 0, 0])
  jobs.set("unlisted", job("Queued"))
  await seconds(30)
  expect(count("jobs?limit=200")).toBe(2)
  expect(count("status")).toBeLessThanOrEqual(8)
  jobs.delete("a")
  jobs.set("third", job("Running"))
  await seconds(5)
  expect(details.briefs.has("a")).toBe(true)
  expect(count("jobs?limit=200")).toBe(3)
})

test("a job that ended is requested once more, for its end", async () => {
  let list: unknown = ANSWERS["jobs?limit=200"]
  const { details, jobs, count } = watched((path) => (path === "jobs?limit=200" ? list : ANSWERS[path]))
  details.watch("all")
  await seconds(10)
  const ends = async (statusCode: number, queuedTime: number): Promise<void> => {
    list = { data: [{ id: "a", state: "Finished", statusCode, queuedTime }] }
    jobs.set("a", { ...job("Finished"), queuedTime })
    await seconds(30)
  }
  await ends(3, 1)
  expect([details.briefs.get("a")?.code, count("jobs?limit=200")]).toEqual([3, 2])
  await ends(0, 9)
  expect([details.briefs.get("a")?.code, count("jobs?limit=200")]).toEqual([0, 3])
})

test("a view of only the jobs requests nothing else", async () => {
  const { details, count } = watched((path) => ANSWERS[path])
  details.watch("jobs")
  await seconds(30)
  expect([details.briefs.size, count("jobs?limit=200"), count("status"), count("report.json")]).toEqual([1, 1, 0, 0])
})

test("a server that lacks the routes is asked once for each, for any kind of answer", async () => {
  for (const answer of [new Refusal(404, "no"), undefined, "<html>", { data: null }, [1]]) {
    const { details, asked } = watched(() => answer)
    details.watch("all")
    await seconds(120)
    expect(asked.sort()).toEqual(["jobs?limit=200", "report.json", "status"])
    expect([details.briefs.size, details.positions.size, details.loads.size]).toEqual([0, 0, 0])
  }
})

test("an unreachable server is asked less and less often, and again as soon as it is back", async () => {
  let isAway = true
  const { details, count } = watched((path) => (isAway ? new Refusal(503, "away") : ANSWERS[path]))
  details.watch("all")
  await seconds(600)
  expect(count("status")).toBeLessThan(20)
  isAway = false
  await seconds(62)
  expect(details.positions.size).toBe(1)
})

test("strangers' answers are bounded, and values of wrong types are dropped", () => {
  const many = { data: Array.from({ length: 20_000 }, (_, n) => ({ id: `${n}`, command: "x".repeat(5_000) })) }
  const briefs = readBriefs(many)!
  expect([briefs.size, briefs.get("0")?.command.length]).toEqual([10_000, 300])
  const nothing = { image: "", command: "", isBuild: false, isItem: false, queuedTime: 0, isFinished: false, code: undefined }
  expect(readBriefs({ data: [{ id: 5 }, null, { id: "b", image: {} }] })).toEqual(new Map([["b", nothing]]))
  expect(readPositions({ waiting: [{ jobId: "a", position: "first", why: 1 }] })).toEqual(new Map([["a", { position: 0, why: "" }]]))
  expect(readLoads({ data: { workers: [{ id: "w", cpusUsed: "x", tags: "y" }] } })?.get("w"))
    .toMatchObject({ cpusUsed: 0, tags: [] })
})
