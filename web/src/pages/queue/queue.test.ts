import { describe, expect, it } from "vitest"
import type { Interval } from "../../wire.ts"
import { serveCommand } from "../shared/queue-name.ts"
import { queueName } from "./name.ts"
import { KINDS, roundUp, secondsText } from "./report.ts"

describe("a queue's name", () => {
  it("is read from the path and quoted for a shell", () => {
    expect(queueName("q/my%20key%2Fx/")).toBe("my key/x")
    expect(queueName("q/%zz")).toBe("%zz")
    expect(serveCommand("my-queue", "https://host/below")).toBe("asman worker run my-queue --api https://host/below")
    expect(serveCommand("it's $(x)", "https://h", true))
      .toBe("ASMAN_WORKER_TOKEN=<token> asman worker run 'it'\\''s $(x)' --api https://h")
    expect(serveCommand("-rf", "https://h")).toBe("asman worker run --api https://h -- -rf")
  })
})

describe("the charts", () => {
  it("stack every end exactly once", () => {
    const outcomes = { Success: 10, Error: 1, TimedOut: 2, Cancelled: 3, WorkerLost: 4, JobReplacedByClient: 5, Deleted: 6 }
    const interval: Interval =
      { time: 0, finished: 31, outcomes, programFailures: 4, isEstimate: false, sampled: 31, waiting: null, running: null }
    expect(KINDS.map((kind) => kind.count(interval))).toEqual([6, 4, 7, 14])
  })
  it("have round axes", () => {
    expect([0, 0.03, 1, 1.1, 7, 10, 999].map(roundUp)).toEqual([1, 0.05, 1, 2, 10, 10, 1000])
    expect([0, 0.0004, 0.25, 1.25, 30, 120, 7200].map(secondsText)).toEqual(["0 s", "1 ms", "250 ms", "1.3 s", "30 s", "2 min",
      "2 h"])
  })
})
