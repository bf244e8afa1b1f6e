import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import type { Definition } from "../wire.ts"
import { canonicalText, jobIdOf, oldJobIdOf, stableText } from "./canonical.ts"
import { Sha256, sha256Hex, sha256OfBlob } from "./sha256.ts"

interface Vector { definition: Definition; canonical?: string; id?: string; id_old?: string }
const VECTORS = new URL("../../../protocol/vectors/job-ids.json", import.meta.url)

test("job ids equal those that the server and existing clients compute", () => {
  const vectors = JSON.parse(readFileSync(VECTORS, "utf8")) as Vector[]
  expect(vectors.length).toBeGreaterThanOrEqual(25)
  for (const { definition, canonical, id, id_old: old } of vectors) {
    if (canonical !== undefined) expect(canonicalText(definition)).toBe(canonical)
    if (id !== undefined) expect(jobIdOf(definition)).toBe(id)
    if (old !== undefined) expect(oldJobIdOf(definition)).toBe(old)
  }
})

test("members that are undefined do not count, and presigned URLs lose their signature", () => {
  const definition = { image: "a", workdir: undefined, env: { A: undefined }, build: { target: undefined } } as unknown as Definition
  expect(canonicalText(definition)).toBe('{"image":"a"}')
  const url = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com/k"
  const text =
    canonicalText({ inputs: { a: { type: "url", value: `${url}?X=1#y`, hash: "h" }, b: { type: "utf8", value: `${url}?X` } } })
  expect(text).toBe(`{"inputs":{"a":{"type":"url","value":"${url}"},"b":{"type":"utf8","value":"${url}?X"}}}`)
})

test("canonical text sorts by UTF-16 units, keeps __proto__ as a name and escapes as JSON.stringify does", () => {
  const value = JSON.parse('{"\uffff":1,"\u{10000}":2,"10":3,"9":4,"__proto__":5}') as unknown
  expect(stableText(value)).toBe('{"10":3,"9":4,"__proto__":5,"\u{10000}":2,"\uffff":1}')
  expect(stableText({ a: "\u2028\u007f/\u0001\ud800é", b: [undefined, -0, 1e21, 1e-7] }))
    .toBe('{"a":"\u2028\u007f/\\u0001\\ud800é","b":[null,0,1e+21,1e-7]}')
})

test("a value nested without end is refused and does not overflow the stack", () => {
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  expect(() => stableText(cycle)).toThrow(RangeError)
})

test("SHA-256 equals that of the platform for every length around a block, in any pieces", async () => {
  for (const length of [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000, 5_000_000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255)
    const expected = createHash("sha256").update(bytes).digest("hex")
    expect(sha256Hex(bytes)).toBe(expected)
    expect(await sha256OfBlob(new Blob([bytes]))).toBe(expected)
    const cut = Math.floor(length / 3)
    expect(new Sha256().update(bytes.subarray(0, cut)).update(bytes.subarray(cut)).hex()).toBe(expected)
  }
})
