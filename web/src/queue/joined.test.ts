import { describe, expect, test } from "vitest"
import type { Job, LogLine } from "../wire.ts"
import { JoinedJobs, JoinedLines } from "./joined.ts"

const job = (state: Job["state"], queuedTime = 1): Job => ({ state, time: 1, queuedTime, worker: "", namespaces: [] })
const states = (jobs: Readonly<Record<string, Job>> | ReadonlyMap<string, Job>): string =>
  [...(jobs instanceof Map ? jobs : Object.entries(jobs))].map(([id, { state }]) => `${id} ${state}`).join(", ")

describe("states", () => {
  test("that were read earlier are ignored, in whatever order they come", () => {
    const jobs = new JoinedJobs(10)
    jobs.take({ a: job("Finished") }, false, 7n)
    for (const [state, cursor] of [["Queued", 3n], ["Running", 6n]] as const) {
      expect(states(jobs.take({ a: job(state) }, false, cursor)), "the newest state is told instead").toBe("a Finished")
    }
    expect(states(jobs.take({ a: job("Queued", 2) }, false, 8n))).toBe("a Queued")
    expect(states(jobs.all)).toBe("a Queued")
  })

  test("of one read come in any number of messages", () => {
    const jobs = new JoinedJobs(10)
    jobs.take({ a: job("Queued") }, false, 5n)
    expect(states(jobs.take({ a: job("Running") }, false, 5n))).toBe("a Running")
  })

  test("of a whole list replace those that are older, and newer ones stay", () => {
    const jobs = new JoinedJobs(10)
    jobs.take({ gone: job("Running"), a: job("Running") }, false, 4n)
    jobs.take({ b: job("Queued"), c: job("Finished") }, false, 9n)
    expect(states(jobs.take({ a: job("Finished"), c: job("Running") }, true, 6n))).toBe("b Queued, c Finished, a Finished")
    expect(states(jobs.take({}, true, 9n))).toBe("")
  })

  test("of a server without cursors count as they come", () => {
    const jobs = new JoinedJobs(10)
    jobs.take({ a: job("Finished") }, false, undefined)
    expect(states(jobs.take({ a: job("Running") }, false, undefined))).toBe("a Running")
    expect(states(jobs.take({ b: job("Queued") }, true, undefined))).toBe("b Queued")
  })

  test("of a job that was cleared and is submitted again are the new ones, though old messages come late", () => {
    const jobs = new JoinedJobs(10)
    jobs.take({ a: job("Finished") }, false, 4n)
    jobs.take({}, true, 6n)
    jobs.take({ a: job("Queued", 2) }, false, 8n)
    expect(states(jobs.take({ a: job("Finished") }, false, 5n))).toBe("a Queued")
    expect(states(jobs.take({}, true, 7n))).toBe("a Queued")
    expect(jobs.take({ a: job("Running", 2) }, false, 9n).a).toMatchObject({ state: "Running", queuedTime: 2 })
  })

  test("of a new connection count, even if the server counts from the beginning", () => {
    const jobs = new JoinedJobs(10)
    jobs.take({ a: job("Running"), b: job("Running") }, true, 1_000n)
    jobs.restart()
    expect(states(jobs.take({ a: job("Finished") }, true, 3n))).toBe("a Finished")
  })

  test("are bounded, and the oldest are forgotten", () => {
    const jobs = new JoinedJobs(2)
    for (const [n, id] of ["a", "b", "a", "c"].entries()) jobs.take({ [id]: job("Queued") }, false, BigInt(n))
    expect(states(jobs.all)).toBe("a Queued, c Queued")
  })
})

describe("lines", () => {
  const lines = (from: number, to: number): LogLine[] => Array.from({ length: to - from + 1 }, (_, n) => [`${from + n}`, 1])
  const texts = (taken: readonly LogLine[]): string => taken.map(([text]) => text).join(" ")

  test("count once, in portions of any size, and the parts are counted separately", () => {
    const joined = new JoinedLines()
    expect(texts(joined.take("run", lines(1, 3), 3))).toBe("1 2 3")
    expect(texts(joined.take("run", lines(2, 3), 3))).toBe("")
    expect(texts(joined.take("run", lines(1, 5), 5))).toBe("4 5")
    expect(texts(joined.take("build", lines(1, 1), 1))).toBe("1")
    expect([joined.seen("run"), joined.seen("build")]).toEqual([5, 1])
  })

  test("that are missing are counted, and what comes after them is taken when they do not come", () => {
    const joined = new JoinedLines()
    joined.take("run", lines(1, 2), 2)
    expect([joined.missing("run", 2, 8), joined.missing("run", 3, 5), joined.missing("run", 9, 4)]).toEqual([4, 0, 0])
    expect(texts(joined.take("run", lines(7, 8), 8))).toBe("7 8")
    expect(texts(joined.take("run", lines(3, 6), 6))).toBe("")
  })

  test("without numbers continue those here, and a new run begins again", () => {
    const joined = new JoinedLines()
    expect(texts(joined.take("run", lines(1, 2)))).toBe("1 2")
    expect(texts(joined.take("run", lines(3, 3)))).toBe("3")
    joined.restart("run")
    expect(texts(joined.take("run", lines(1, 1), 1))).toBe("1")
  })
})
