import { expect, test } from "vitest"
import { Lines } from "../log/lines.ts"
import type { LogLine } from "../wire.ts"
import { LogFollower } from "./follower.ts"

const ID = "job"
const lines = (from: number, to: number): LogLine[] =>
  Array.from({ length: to - from + 1 }, (_, n): LogLine => [`line ${from + n}`, 1_000 + from + n])
const tell = (follower: LogFollower, logs: LogLine[]): boolean => follower.take({ jobId: ID, step: "Running", logs })

/** A follower of a job whose log so far is handed over by `answer`, once for each time that it is asked for. */
function following(): { follower: LogFollower; shown: () => string[]; answer: (logs: LogLine[]) => Promise<void> } {
  const asked: ((logs: LogLine[]) => void)[] = []
  const store = new Lines()
  const follower = new LogFollower(store, (path, signal) => new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("aborted")))
    if (path.includes("/build-logs")) resolve({ data: [], nextCursor: 0 })
    else asked.push((data) => resolve({ data, nextCursor: 0, isFinal: false }))
  }))
  follower.follow(ID, new AbortController().signal)
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve))
  return {
    follower,
    shown: () => Array.from({ length: store.length }, (_, at) => store.at(at)!.text),
    answer: async (logs) => {
      await settle()
      asked.shift()!(logs)
      await settle()
    },
  }
}

const words = (from: number, to: number): string[] => lines(from, to).map(([text]) => text)

test("lines that the socket tells after they were read are shown once, in whatever portions they come", async () => {
  const { follower, shown, answer } = following()
  void follower.catchUp()
  await answer(lines(1, 9))
  for (const [from, to] of [[6, 7], [8, 8], [9, 11], [12, 13]] as const) tell(follower, lines(from, to))
  expect(shown()).toEqual(words(1, 13))
})

test("lines that come while the log is read, and of which it holds more than the socket told, are shown once", async () => {
  const { follower, shown, answer } = following()
  void follower.catchUp()
  tell(follower, lines(4, 6))
  await answer(lines(1, 9))
  tell(follower, lines(7, 12))
  expect(shown()).toEqual(words(1, 12))
})

test("of a log that is longer than its result tells, the end is read and shown", async () => {
  const { follower, shown, answer } = following()
  void follower.finish(lines(1, 100_000), true)
  await answer(lines(3, 100_002))
  expect([shown()[0], shown().at(-1)]).toEqual(["line 3", "line 100002"])
})

test("lines that were not read come after those that were", async () => {
  const { follower, shown, answer } = following()
  void follower.catchUp()
  await answer(lines(1, 3))
  tell(follower, lines(4, 5))
  expect(shown()).toEqual(words(1, 5))
})

test("a connection that is lost while the log is read leaves no gap", async () => {
  const { follower, shown, answer } = following()
  void follower.catchUp()
  tell(follower, lines(3, 4))
  void follower.catchUp()
  tell(follower, lines(9, 9))
  await answer(lines(1, 4))
  await answer(lines(1, 8))
  tell(follower, lines(10, 10))
  expect(shown()).toEqual(words(1, 10))
})
