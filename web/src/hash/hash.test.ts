import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { decodeB64Json, encodeB64Json } from "./b64json.ts"
import { decodeValue, encodeValue, fragmentText, parseFragment, withValues } from "./fragment.ts"

interface Vector { value: unknown; fragments: Record<string, string> }
const VECTORS = new URL("../../../protocol/vectors/hash-params.json", import.meta.url)

test("every variant of JSON in a fragment is read, and written as 0.8.6 and 0.9 read it", () => {
  const vectors = JSON.parse(readFileSync(VECTORS, "utf8")) as Vector[]
  expect(vectors.length).toBeGreaterThanOrEqual(2)
  for (const { value, fragments } of vectors) {
    for (const [variant, raw] of Object.entries(fragments)) expect(decodeB64Json(raw), variant).toEqual(value)
    expect(encodeURIComponent(encodeB64Json(value))).toBe(fragments["percent-encoded (hash-query <= 0.8.10)"])
  }
})

test("text in UTF-8 without a percent layer is read as UTF-8, and a trailing %3D is taken off", () => {
  const plain = Buffer.from('{"a":"é€"}', "utf8").toString("base64")
  expect(decodeB64Json(plain)).toEqual({ a: "é€" })
  expect(decodeB64Json(btoa('{"a":"\xe9"}'))).toEqual({ a: "é" })
  expect(decodeB64Json("eyJhIjoxfQ%3D%3D")).toEqual({ a: 1 })
  expect(decodeB64Json("eyJhIjoxfQ%25253D%25253D")).toEqual({ a: 1 })
})

test("anything else than JSON in base64 throws", () => {
  for (const raw of ["", "%", "%zz", "!!!!", "a", "e30 ", btoa("{"), btoa("%7B"), btoa("%E9")]) {
    expect(() => decodeB64Json(raw), raw).toThrow(SyntaxError)
  }
})

test("a fragment is taken apart at the first ? and each piece at the first =", () => {
  expect(parseFragment("#job=1&b=2").raw.size).toBe(0)
  expect(Object.fromEntries(parseFragment("##?flag&b=2=3&&c=1&c=2").raw)).toEqual({ flag: "", b: "2=3", c: "2" })
  expect(parseFragment("#pre?x=1").pre).toBe("pre")
  expect(decodeValue("%zz")).toBe("%zz")
  expect(decodeValue("bar%20baz+x")).toBe("bar baz+x")
})

test("writing sorts the keys, keeps the rest unchanged and deletes the last key to an empty fragment", () => {
  const fragment = parseFragment("#pre?z=%7e&a=1")
  expect(fragmentText(withValues(fragment, new Map([["m", encodeValue("a=b &")]])))).toBe("#pre?a=1&m=a%3Db%20%26&z=%7e")
  expect(fragmentText(withValues(parseFragment("#?a=1"), new Map([["a", undefined]])))).toBe("")
  expect(encodeValue("x\ud800y")).toBe("x%EF%BF%BDy")
})
