import { expect, test } from "vitest"
import { formOf } from "./form.ts"
import { hintsOf } from "./hints.ts"

const fields = (job: object, given: string[] = []): string[] => Object.keys(hintsOf(formOf({ image: "a", ...job }), given))

test("a name without a value from a variable or a parameter is reported, unless it is in single quotes", () => {
  expect(fields({ command: "python ${FILE} $MODE" })).toEqual(["command"])
  expect(hintsOf(formOf({ command: "python ${FILE}" }), [])["command"]).toContain("No variable is named FILE")
  expect(fields({ command: "python ${FILE} $MODE", env: { MODE: "x" } }, ["FILE"])).toEqual([])
  expect(fields({ command: "python ok", entrypoint: "run $X" })).toEqual(["entrypoint"])
  const fine = ["echo '$HOME'", "sh -c 'echo $HOME'", "echo \\$HOME", "cost 5$"]
  expect(fine.flatMap((command) => fields({ command }))).toEqual([])
  const told = ["/bin/bash -ec \"echo $HOME\"", "bash -x -c $X", "push -c $X"]
  expect(told.flatMap((command) => fields({ command }))).toEqual(told.map(() => "command"))
})

test("values of variables are literal, and a hint says so for a value that names another variable", () => {
  expect(fields({ env: { A: "1", B: "${A}/x", C: "costs $5" } })).toEqual(["env-1"])
})
