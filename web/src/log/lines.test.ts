import { expect, test } from "vitest"
import type { LogLine } from "../wire.ts"
import { Lines } from "./lines.ts"

const line = (text: string): LogLine => [text, 1]
const texts = (lines: Lines): string[] => Array.from({ length: lines.length }, (_, index) => lines.at(index)!.text)

/** A store whose notifications the test triggers. */
function made(bounds = { lines: 100, chars: 10_000 }): { lines: Lines; draw: () => void; told: number[] } {
  let callbacks: (() => void)[] = []
  const told: number[] = []
  const lines = new Lines(bounds, (callback) => callbacks.push(callback))
  lines.subscribe((from) => told.push(from))
  const draw = (): void => {
    const due = callbacks
    callbacks = []
    due.forEach((callback) => callback())
  }
  return { lines, draw, told }
}

test("many changes are reported once a frame, with the first index that changed", () => {
  const { lines, draw, told } = made()
  lines.append("build", [line("a")])
  lines.append("run", [line("b"), ["c", 2, true]])
  draw()
  lines.append("run", [line("d")])
  lines.append("run", [])
  draw()
  draw()
  expect(told).toEqual([0, 3])
  expect(lines.at(2)).toEqual({ part: "run", text: "c", time: 2, isStdErr: true })
  expect([lines.at(-1), lines.at(4)]).toEqual([undefined, undefined])
})

test("replacing a part leaves the other, with the build first", () => {
  const { lines, draw, told } = made()
  lines.append("build", [line("b1")])
  lines.append("run", [line("r1"), line("r2")])
  draw()
  lines.replace("run", [line("R")])
  draw()
  lines.replace("build", [line("B1"), line("B2")])
  draw()
  expect(texts(lines)).toEqual(["B1", "B2", "R"])
  expect(told).toEqual([0, 1, 0])
})

test("repeated lines are not a change, and of others the first one is reported", () => {
  const { lines, told, draw } = made()
  const run = ["r1", "r2", "r3"].map((text) => line(text))
  lines.append("build", [line("b1")])
  lines.append("run", run)
  draw()
  lines.replace("run", run)
  draw()
  expect(told).toEqual([0])
  lines.replace("run", [...run.slice(0, 2), line("R3"), line("R4")])
  draw()
  lines.replace("run", run.slice(0, 2))
  draw()
  expect(texts(lines)).toEqual(["b1", "r1", "r2"])
  expect(told).toEqual([0, 3, 3])
})

test("the limits apply to any input, and the oldest lines are dropped and counted", () => {
  const { lines } = made({ lines: 80, chars: 1_000 })
  for (let n = 0; n < 1_000; n++) {
    lines.append("run", [line(`${n}`.padStart((n % 50) + 1, "x"))])
    expect(lines.length).toBeLessThanOrEqual(80)
    expect(texts(lines).join("").length).toBeLessThanOrEqual(1_000)
    expect(lines.length + lines.dropped).toBe(n + 1)
  }
  expect(lines.at(lines.length - 1)!.text).toContain("999")
})

test("dropped lines of one part are still counted after the other part is replaced", () => {
  const { lines } = made({ lines: 8, chars: 10_000 })
  lines.append("run", Array.from({ length: 10 }, (_, n) => line(`r${n}`)))
  const dropped = lines.dropped
  expect([dropped > 0, lines.isWhole]).toEqual([true, false])
  lines.replace("build", [])
  lines.replace("build", [line("b")])
  expect(lines.length + lines.dropped).toBe(11)
  lines.replace("run", [line("R")])
  expect([texts(lines).at(-1), lines.dropped <= 1]).toEqual(["R", true])
})

test("a note is not a line of the job, and says that lines are missing", () => {
  const { lines } = made()
  lines.append("run", [line("a")])
  lines.note("run", 1_234)
  expect([lines.count("run"), lines.length, lines.isWhole]).toEqual([1, 2, false])
  expect(lines.at(1)).toMatchObject({ isNote: true, text: "1,234 lines are missing here; the download has them." })
  lines.replace("run", [line("a"), line("b")])
  expect([lines.isWhole, texts(lines)]).toEqual([true, ["a", "b"]])
})

test("a line without end is cut into pieces", () => {
  const lines = new Lines()
  lines.append("run", [line("x".repeat(200_000))])
  expect(texts(lines).map((text) => text.length)).toEqual([65_536, 65_536, 65_536, 3_392])
})

test("a million lines are appended in time that does not grow with their number", () => {
  const lines = new Lines(undefined, () => {})
  const chunk = Array.from({ length: 1_000 }, (_, n) => line(`line ${n}`))
  const begin = performance.now()
  for (let n = 0; n < 1_000; n++) lines.append("run", chunk)
  expect(performance.now() - begin).toBeLessThan(5_000)
  expect(lines.length + lines.dropped).toBe(1_000_000)
  expect(lines.length).toBeGreaterThan(170_000)
})
