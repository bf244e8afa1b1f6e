import { expect, test } from "vitest"
import { RowWriter, type RowLook } from "./render.ts"
import type { LogEntry } from "./store.ts"

const LOOK: RowLook = { hasTimes: false, stderr: "1;2;3", build: "4;5;6", faint: "7;8;9" }
const entry = (text: string, more: Partial<LogEntry> = {}): LogEntry => ({ part: "run", text, time: 1, isStdErr: false, ...more })

/** What the writer writes for each entry. */
function written(...entries: LogEntry[]): string[] {
  const writer = new RowWriter()
  return entries.map((one, at) => writer.write(one, entries[at + 1], LOOK))
}

test("a colour continues after the end of a line in its own stream, and in no other", () => {
  const [, second, other, third] = written(entry("\x1b[31mone"), entry("two"), entry("err", { isStdErr: true }), entry("three\x1b[0m"))
  expect(second).toContain("\x1b[31mtwo")
  expect(other).not.toContain("\x1b[31m")
  expect(third).toContain("\x1b[31mthree")
})

test("a window that begins in the middle knows the colours of the lines before it", () => {
  const writer = new RowWriter()
  writer.pass(entry("\x1b[1m\x1b[32mbefore"))
  expect(writer.write(entry("after"), undefined, LOOK)).toContain("\x1b[1;32mafter")
})

test("a note of the page neither uses nor changes the job's colours", () => {
  const [, note, after] = written(entry("\x1b[31mred"), entry("5 lines are missing", { isNote: true }), entry("on"))
  expect(note).not.toContain("\x1b[31m")
  expect(after).toContain("\x1b[31mon")
})
