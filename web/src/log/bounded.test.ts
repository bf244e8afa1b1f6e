import { describe, expect, it } from "vitest"
import { BoundedLog } from "./bounded.ts"

const texts = (log: BoundedLog): string[] => Array.from({ length: log.length }, (_, at) => log.at(at)?.text ?? "?")

describe("a bounded log", () => {
  it("keeps build lines before run lines and tells from where it changed", () => {
    const log = new BoundedLog()
    const changes: number[] = []
    const end = log.subscribe((from) => changes.push(from))
    log.append("build", [["b1", 1]])
    log.append("run", [["r1", 2], ["r2", 3, true]])
    log.append("build", [["b2", 4]])
    expect(texts(log)).toEqual(["b1", "b2", "r1", "r2"])
    expect(log.at(3)).toEqual({ part: "run", text: "r2", time: 3, isStdErr: true })
    log.replace("run", [["r3", 5]])
    expect(texts(log)).toEqual(["b1", "b2", "r3"])
    log.clear()
    end()
    log.append("run", [["r4", 6]])
    expect(changes).toEqual([0, 1, 1, 0, 0])
    expect([log.at(-1), log.at(1)]).toEqual([undefined, undefined])
  })
  it("drops the oldest lines beyond its bounds and counts them", () => {
    const log = new BoundedLog()
    for (let piece = 0; piece < 26; piece++) log.append("run", Array.from({ length: 10_000 }, (_, at) => [`${piece * 10_000 + at}`, 0] as [string, number]))
    expect([log.length, log.dropped, log.at(0)?.text, log.at(log.length - 1)?.text]).toEqual([200_000, 60_000, "60000", "259999"])
    log.append("run", [["x".repeat(32 * 1024 * 1024), 0]])
    expect([log.length, log.dropped]).toEqual([1, 260_000])
  })
  it("takes whatever a stranger sends for a line", () => {
    const log = new BoundedLog()
    log.append("run", [7, null, [{}, "x"]] as unknown as [string, number][])
    expect(texts(log)).toEqual(["7", "null", "[object Object]"])
  })
})
