import { expect, test } from "vitest"
import type { PastRun, QueueDetails } from "../../client/client.ts"
import type { JobBrief } from "../../queue/details.ts"
import type { Job } from "../../wire.ts"
import { ageText, isMine, ownerOf, ownerText, rowsOf } from "./queue-rows.ts"
import { whatOf } from "../shared/what.ts"

const job = (state: Job["state"], queuedTime: number, more: Partial<Job> = {}): Job =>
  ({ state, time: queuedTime, queuedTime, worker: "", namespaces: ["_"], ...more })
const run = (id: string, queue: string): PastRun => ({
  id, queue, definition: { image: "own", command: "mine" }, fragment: "", phase: "running", submittedAt: 1, duration: undefined,
})
const brief = (image: string, command: string, code?: number): JobBrief =>
  ({ image, command, isBuild: false, isItem: false, queuedTime: 1, isFinished: code !== undefined, code })
const NOTHING: QueueDetails = { briefs: new Map(), positions: new Map(), loads: new Map() }

test("running rows come first, and the position in the queue comes from the socket alone", () => {
  const jobs = { late: job("Queued", 9), ended: job("Finished", 1, { finishedReason: "TimedOut" }), early: job("Queued", 3),
    runs: job("Running", 2) }
  const rows = rowsOf(jobs, NOTHING, [])
  expect(rows.map(({ id, standing }) => `${id}: ${standing.text}`)).toEqual(
    ["runs: Running", "late: Waiting, 2 of 2", "early: Waiting, 1 of 2", "ended: Timed out"])
})

test("the server's position and reason count, and a job's description comes from it or from this browser's history", () => {
  const details: QueueDetails = {
    ...NOTHING, positions: new Map([["a", { position: 7, why: "no connected worker carries the tag \u202ex" }]]),
    briefs: new Map([["a", brief("alpine", "echo \u001b[31mred")]]),
  }
  const rows = rowsOf({ a: job("Queued", 2), b: job("Queued", 1), c: job("Running", 1) }, details, [run("b", "q")])
  expect(rows.map(({ what }) => what)).toEqual(["", "alpine · echo red", "own · mine"])
  expect(rows[1]).toMatchObject({ standing: { text: "Waiting, 7 of 7" }, why: "no connected worker carries the tag ⟨U+202E⟩x" })
})

test("a program that ended has succeeded only if its exit code says so", () => {
  const ended = job("Finished", 1, { finishedReason: "Success" })
  const briefs = new Map([["good", brief("a", "", 0)], ["bad", brief("a", "", 3)], ["stale", brief("a", "")]])
  const jobs = { good: ended, bad: ended, stale: ended, unknown: ended }
  const texts = (all: typeof jobs): string[] => rowsOf(all, { ...NOTHING, briefs }, []).map(({ standing }) => standing.text)
  expect(texts(jobs)).toEqual(["Succeeded", "Failed with exit code 3", "Ended", "Ended"])
  expect(texts({ ...jobs, bad: { ...ended, queuedTime: 2 } })).toEqual(["Ended", "Succeeded", "Ended", "Ended"])
})

test("mine are the jobs that this browser sent to the queue, and those that this frame's own namespace holds", () => {
  const history = [run("sent", "q"), run("elsewhere", "other")]
  const shared = ownerOf(history, "q", "_")
  expect([isMine("sent", job("Queued", 1), shared), isMine("elsewhere", job("Queued", 1), shared),
    isMine("x", job("Queued", 1), shared)]).toEqual([true, false, false])
  const own = ownerOf([], "q", "frame-1")
  expect([isMine("x", job("Queued", 1, { namespaces: ["_", "frame-1"] }), own), isMine("x", job("Queued", 1), own)])
    .toEqual([true, false])
  expect(isMine("x", job("Queued", 1, { namespaces: ["*"] }), ownerOf([], "q", "*"))).toBe(false)
})

test("owners are shown as text, for every name", () => {
  expect([[], ["_"], ["*"], ["me", "_"], ["a", "b", "c", "d"], ["\u202e"]].map(ownerText))
    .toEqual(["nobody", "anyone", "everybody", "me, anyone", "a, b and 2 more", "⟨U+202E⟩"])
  expect(ownerText(["x".repeat(1_000)]).length).toBe(40)
})

test("ages count from the submission while a job waits, and else from its last change", () => {
  expect([ageText(job("Queued", 1_000, { time: 60_000 }), 62_000), ageText(job("Running", 1_000, { time: 60_000 }), 62_000),
    ageText(job("Finished", 0, { time: 60_000 }), 62_000)]).toEqual(["for 1 min 01 s", "for 2.0 s", "2.0 s ago"])
})

test("a job's description is one bounded line, for members of any type", () => {
  expect([whatOf({ image: 5, command: ["x"] }), whatOf({ build: {}, command: "make" }),
    whatOf({ isItem: true }), whatOf({ image: "x".repeat(900) }).length])
    .toEqual(["", "built image · make", "item of the task-queue API", 200])
})

test("of a job with an image and a build the build counts, and an empty build does not", () => {
  expect([{ build: { dockerfile: "FROM a" } }, { isBuild: true }, { build: {}, isBuild: false }]
    .map((job) => whatOf({ ...job, image: "alpine" }))).toEqual(["built image", "built image", "alpine"])
})
