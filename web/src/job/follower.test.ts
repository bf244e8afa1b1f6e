import { expect, test } from "vitest"
import { Lines } from "../log/lines.ts"
import type { LogLine } from "../wire.ts"
import { LogFollower } from "./follower.ts"

const ID = "job"
const lines = (from: number, to: number): LogLine[] =>
  Array.from({ length: to - from + 1 }, (_, n): LogLine => [`line ${from + n}`, 1_000])
const words = (from: number, to: number): string[] => lines(from, to).map(([text]) => text)

/**
 * A follower of a job whose run log is on a server: `log` is the log that the server has now, `release` lets the server answer
 * waiting requests. With `isOff` the server has no log.
 */
function following({ pageMax = 1_000_000 } = {}) {
  const waiting: (() => void)[] = []
  const store = new Lines()
  const server = { log: [] as LogLine[], isOff: false, isHeld: false, nRequests: 0 }
  const answer = (since: number): unknown => {
    const data = server.log.slice(since, since + pageMax)
    return { data, nextCursor: since + data.length, isFinal: false }
  }
  const follower = new LogFollower(store, (path, signal) => new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("aborted")))
    if (signal.aborted) return reject(new Error("aborted"))
    const since = Number(path.split("since=")[1])
    server.nRequests++
    if (server.isOff) return reject(new Error("404"))
    if (path.includes("/build-logs")) return resolve({ data: [], nextCursor: since, isFinal: false })
    if (server.isHeld) waiting.push(() => resolve(answer(since)))
    else resolve(answer(since))
  }))
  follower.follow(ID, new AbortController().signal)
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve))
  return {
    follower, server, settle, store,
    /** Answers at most `nMax` requests: the waiting ones, and those that follow from them. */
    release: async (nMax = 100) => {
      for (let n = 0; n < nMax && waiting.length > 0; n++) {
        waiting.shift()!()
        await settle()
      }
    },
    shown: () => Array.from({ length: store.length }, (_, at) => store.at(at)!.text),
    /** Sends lines of the log with their numbers. */
    tell: (from: number, to: number) => follower.take({ jobId: ID, step: "Running", logs: lines(from, to), cursor: to }),
    /** The same in the form of servers without numbers. */
    tellUnnumbered: (from: number, to: number) => follower.take({ jobId: ID, step: "Running", logs: lines(from, to) }),
  }
}

test("lines that the socket sends after they were read are shown once, in any portions", async () => {
  const { follower, server, shown, tell } = following()
  server.log = lines(1, 9)
  await follower.catchUp()
  for (const [from, to] of [[2, 3], [6, 7], [8, 8], [9, 11], [12, 13]] as const) tell(from, to)
  expect(shown()).toEqual(words(1, 13))
})

test("of equal lines each is shown: their numbers tell them apart", async () => {
  const { follower, server, shown } = following()
  const equal = (n: number): LogLine[] => Array.from({ length: n }, (): LogLine => ["same", 5])
  server.log = equal(80)
  await follower.catchUp()
  for (const [n, cursor] of [[50, 110], [20, 130]] as const) {
    follower.take({ jobId: ID, step: "Running", logs: equal(n), cursor })
  }
  expect(shown()).toHaveLength(130)
})

test("lines that come while the log is read, and of which it has more than the socket sent, are shown once", async () => {
  const { follower, server, shown, tell, release, settle } = following()
  server.isHeld = true
  void follower.catchUp()
  await settle()
  tell(4, 6)
  server.log = lines(1, 9)
  await release()
  tell(7, 12)
  expect(shown()).toEqual(words(1, 12))
})

test("a hole between two messages is read", async () => {
  const { server, shown, tell, settle } = following()
  tell(1, 3)
  server.log = lines(1, 9)
  tell(7, 9)
  await settle()
  tell(10, 10)
  expect(shown()).toEqual(words(1, 10))
})

test("lines beyond those that were read are requested again, until nothing is missing", async () => {
  const { follower, server, shown, tell, release, settle } = following()
  server.isHeld = true
  void follower.catchUp()
  await settle()
  tell(8, 9)
  server.log = lines(1, 5)
  await release(2)
  server.log = lines(1, 9)
  await release()
  expect(shown()).toEqual(words(1, 9))
})

test("where the log cannot be read, lines that are missing are counted", async () => {
  const { server, shown, store, tell, settle } = following()
  tell(1, 2)
  server.isOff = true
  tell(6, 7)
  await settle()
  expect(shown()).toEqual([...words(1, 2), "3 lines are missing here; the download has them.", ...words(6, 7)])
  expect(store.isWhole).toBe(false)
})

test("a server without numbers only says that there is more, and the log is read", async () => {
  const { follower, server, shown, tellUnnumbered, settle } = following()
  server.log = lines(1, 3)
  await follower.catchUp()
  server.log = lines(1, 6)
  tellUnnumbered(3, 4)
  tellUnnumbered(5, 6)
  await settle()
  expect(shown()).toEqual(words(1, 6))
})

test("of a server with neither numbers nor a log, lines are shown as they come", async () => {
  const { follower, server, shown, tellUnnumbered, settle } = following()
  server.isOff = true
  void follower.catchUp()
  tellUnnumbered(1, 2)
  await settle()
  tellUnnumbered(3, 3)
  expect(shown()).toEqual(words(1, 3))
})

test("a connection that is lost while the log is read leaves no gap", async () => {
  const { follower, server, shown, tell, release, settle } = following()
  server.isHeld = true
  void follower.catchUp()
  await settle()
  tell(3, 4)
  void follower.catchUp()
  await settle()
  tell(9, 9)
  server.log = lines(1, 8)
  await release(2)
  server.log = lines(1, 9)
  await release()
  tell(10, 10)
  expect(shown()).toEqual(words(1, 10))
})

test("a long log is read in pages to its last line, and what does not fit is counted", async () => {
  const { follower, server, store } = following({ pageMax: 100_000 })
  server.log = lines(1, 450_001)
  await follower.finish(lines(450_000, 450_001), 449_999, true)
  expect(store.at(store.length - 1)!.text).toBe("line 450001")
  expect(store.length + store.dropped).toBe(450_001)
})

test("the end of a log that was followed is read from where it stands, and a whole result needs no reading", async () => {
  const { follower, server, shown, tell } = following()
  tell(1, 5)
  server.log = lines(1, 9)
  await follower.finish(lines(8, 9), 7, true)
  expect([shown(), server.nRequests]).toEqual([words(1, 9), 2])
  await follower.finish(lines(1, 9), 0, true)
  expect([shown(), server.nRequests]).toEqual([words(1, 9), 2])
})

test("a log that cannot be read shows the end that the result holds, and counts what lies before it", async () => {
  const { follower, server, shown } = following()
  server.isOff = true
  await follower.finish(lines(8, 9), 7, true)
  expect(shown()).toEqual(["7 lines are missing here; the download has them.", ...words(8, 9)])
})
