import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { durationProblem, imageProblem, memoryProblem, sizeProblem } from "../pages/client/validate.ts"
import { durationMs, sizeBytes } from "./amounts.ts"

interface Case {
  readonly text: string
  readonly code?: string
  readonly seconds?: number
  readonly bytes?: number
  readonly page?: { readonly duration?: string; readonly memory?: string; readonly size?: string; readonly image?: string }
}

/** The table with which the server is tested too: the page accepts and refuses the same values. */
const CASES = JSON.parse(readFileSync(new URL("../../../protocol/vectors/definitions.json", import.meta.url), "utf8")) as Case[]
const CHECKS = { duration: durationProblem, memory: memoryProblem, size: sizeProblem, image: imageProblem }

test("durations, sizes and images are read and refused as the server does", () => {
  let n = 0
  for (const { text, code, seconds, bytes, page = {} } of CASES) {
    for (const [field, written] of Object.entries(page)) {
      expect(CHECKS[field as keyof typeof CHECKS](written) === "", text).toBe(code === undefined)
      if (field === "duration" && seconds !== undefined) expect(durationMs(written), text).toBe(seconds * 1_000)
      if (field === "memory" && bytes !== undefined) expect(sizeBytes(written), text).toBe(bytes)
      n++
    }
  }
  expect(n).toBeGreaterThan(70)
})
