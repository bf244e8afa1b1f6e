import { expect, test } from "vitest"
import type { Definition, Reason } from "../wire.ts"
import { endingHint, exitMeaning, waitingHint } from "./ending.ts"

const hint = (reason: Reason, message = "", code?: number, definition: Definition = {}): string =>
  endingHint({ reason, code, message, definition })

test("the common exit codes mean something, and a code for a signal names it", () => {
  expect([127, 137, 135, 0, 3].map(exitMeaning)).toEqual(
    ["the command was not found", "it was killed, often for want of memory", "signal 7 ended it", "", ""])
})

test("an exit code that has a usual cause says what to do", () => {
  expect(hint("Success", "", 127)).toMatch(/spelling/)
  expect(hint("Success", "", 126)).toMatch(/executable/)
  expect(hint("Success", "", 137)).toMatch(/^Raise “Memory” in the settings, so/)
  expect(hint("Success", "", 137, { requirements: { memory: "64m" } })).toBe("Raise “Memory” in the settings above 64m.")
  expect([hint("Success", "signal 9 (SIGKILL) ended the program; the engine saw no lack of memory", 137), hint("Success", "", 0),
    hint("Success", "", 3)]).toEqual(["", "", ""])
})

test("the words of workers, engines and registries lead to what helps", () => {
  const cases: [string, RegExp][] = [
    ["out of memory: the job used more than 64 MiB (its requirements.memory)", /Memory/],
    ["manifest for nothing:1 not found: manifest unknown: manifest unknown", /name and tag/],
    ["pull access denied for x, repository does not exist or may require 'docker login'", /private image/],
    ['exec: "nothing": executable file not found in $PATH: unknown', /spelling/],
    ['exec: "./x": permission denied', /interpreter/],
    ["the build failed at step 2/3 : RUN false: it returned 1", /Dockerfile at that step/],
    ['Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host', /registry cannot be reached/],
    ["alpine: the registry said nothing for 2m", /later/],
    ["given up after 3 lost workers: its worker stopped answering", /uses? up its machine/],
  ]
  for (const [message, helps] of cases) expect(hint("Error", message), message).toMatch(helps)
  expect(hint("Error", "something new")).toBe("")
})

test("a run that took too long says where its bound is raised", () => {
  expect(hint("TimedOut")).toMatch(/^Set “Longest run”/)
  expect(hint("TimedOut", "", undefined, { maxDuration: "5m" })).toMatch(/^Raise “Longest run” in the settings above 5m/)
})

test("a job that waits says what would let it run, and nothing where time alone helps", () => {
  expect(waitingHint(0, undefined)).toMatch(/command is in the queue panel/)
  expect(waitingHint(2, "no connected worker carries the tag gpu")).toMatch(/tag/)
  expect(waitingHint(2, "no connected worker has enough memory: it needs 9 bytes")).toMatch(/less/)
  expect(waitingHint(2, "no connected worker allows a run as long as it asks for")).toMatch(/Longest run/)
  expect([waitingHint(2, "every worker that could run it is busy"), waitingHint(1, undefined)]).toEqual(["", ""])
})
