import { expect, test } from "vitest"
import type { Definition, EndCode, Fault, Reason } from "../wire.ts"
import { endingHint, exitMeaning, isOthersFault, waitingHint } from "./ending.ts"
import { explain, missingText, type Situation } from "./explain.ts"

interface More { status?: number; code?: string; fault?: Fault; isExplained?: boolean; definition?: Definition }
const hint = (reason: Reason, { status, code, fault, isExplained = false, definition = {} }: More = {}): string =>
  endingHint({ reason, status, code, fault, isExplained, definition })

test("common exit codes are explained, and a code for a signal names the signal", () => {
  expect([127, 137, 135, 0, 3].map(exitMeaning)).toEqual(
    ["the command was not found", "it was killed, often because of too little memory", "signal 7 ended it", "", ""])
})

test("an exit code that has a usual cause says what to do", () => {
  expect(hint("Success", { status: 127 })).toMatch(/spelling/)
  expect(hint("Success", { status: 126 })).toMatch(/executable/)
  expect(hint("Success", { status: 137 })).toMatch(/^Raise “Memory” in the settings, so/)
  expect(hint("Success", { status: 137, definition: { requirements: { memory: "64m" } } })).toBe(
    "Raise “Memory” in the settings above 64m.")
  expect([hint("Success", { status: 137, isExplained: true }), hint("Success", { status: 0 }), hint("Success", { status: 3 })])
    .toEqual(["", "", ""])
})

test("the code of an end leads to advice, and the message never does", () => {
  const cases: [EndCode, RegExp][] = [
    ["out-of-memory", /Memory/], ["image-not-found", /name and tag/], ["image-denied", /private image/],
    ["command-not-found", /spelling/], ["command-not-executable", /interpreter/], ["build-failed", /Dockerfile at that step/],
    ["build-timed-out", /Longest run/], ["input-not-found", /address of the input/],
  ]
  for (const [code, helps] of cases) expect(hint("Error", { code, fault: "job" }), code).toMatch(helps)
  expect(hint("Error", { code: "from-a-later-release", fault: "job" })).toBe("")
  // An earlier version of the page looked for these words.
  const definition = { image: "x", command: "echo manifest unknown no such host out of memory" }
  expect(hint("Error", { isExplained: true, definition })).toBe("")
})

test("an end that is not the job's fault says so plainly, and says to run it again, for every code", () => {
  for (const fault of ["machine", "network", "settings", "cluster"] as const) {
    for (const reason of ["Error", "TimedOut"] as const) {
      expect(hint(reason, { fault, code: "out-of-memory" }), fault).toMatch(/^This was not your job's fault: .*[Rr]un it again/)
    }
  }
  expect([isOthersFault("job"), isOthersFault(undefined)]).toEqual([false, false])
})

test("a run that took too long says where to raise its limit", () => {
  expect(hint("TimedOut")).toMatch(/^Set “Longest run”/)
  expect(hint("TimedOut", { definition: { maxDuration: "5m" } })).toMatch(/^Raise “Longest run” in the settings above 5m/)
})

test("a waiting job says what would let it run, and nothing if only time helps", () => {
  expect(waitingHint(0, undefined)).toMatch(/command is in the queue panel/)
  expect(waitingHint(2, "no-tag")).toMatch(/tag/)
  expect(waitingHint(2, "no-memory")).toMatch(/less/)
  expect(waitingHint(2, "no-time")).toMatch(/Longest run/)
  expect([waitingHint(2, "workers-busy"), waitingHint(1, undefined), waitingHint(1, "toString")]).toEqual(["", "", ""])
})

test("a result that lacks outputs says how many", () => {
  const missing = { outputs: 10_002, isMore: true, why: [] }
  expect([missingText(missing), missingText({ outputs: 1, why: [] }), missingText(undefined)]).toEqual(
    ["More than 10,002 outputs are missing from its result.", "1 output is missing from its result.", ""])
  const now = { phase: "succeeded", result: { logs: [], isTimedOut: false, outputs: {}, missing } } as unknown as Situation
  expect(explain(now)).toBe(missingText(missing))
})
