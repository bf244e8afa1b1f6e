import { unzipSync } from "fflate"
import { describe, expect, it, vi } from "vitest"
import { CELL_CHARS_MAX, COLUMNS_MAX, ROWS_MAX, readCsv } from "./csv.ts"
import { isPdf, isText, kindOf, mediaType } from "./kind.ts"
import { jsonLine, members } from "./json.ts"
import { readHead, sourceOf } from "./source.ts"
import { zipName, zipOutputs } from "./zip.ts"

const signal = new AbortController().signal

describe("readCsv", () => {
  it("reads quotes, line ends in quotes and empty cells", () => {
    expect(readCsv('a,b,c\r\n"x ""y""\nz",,2\n', true)).toEqual({ rows: [["a", "b", "c"], ['x "y"\nz', "", "2"]], isCut: false })
    expect(readCsv("a;b,c;d", true).rows).toEqual([["a", "b,c", "d"]])
    expect(readCsv("a,b\n1,", true).rows).toEqual([["a", "b"], ["1", ""]])
  })
  it("stops at its bounds and says so", () => {
    const wide = readCsv(`${"x,".repeat(100_000)}\n${"1\n".repeat(1_000_000)}`, true)
    expect(wide.rows.length).toBe(ROWS_MAX)
    expect(wide.rows[0]?.length).toBe(COLUMNS_MAX)
    expect(wide.isCut).toBe(true)
    expect(readCsv(`a\n"${"y".repeat(1_000_000)}`, true).rows[1]?.[0]?.length).toBe(CELL_CHARS_MAX)
  })
  it("leaves out the torn row at the end of a beginning", () => {
    expect(readCsv("a,b\n1,2\n3,", false).rows).toEqual([["a", "b"], ["1", "2"]])
  })
})

describe("kinds", () => {
  it("go by the name, and never give a type that is a document", () => {
    expect(kindOf("dir.png/x.HTML")).toBe("text")
    expect(mediaType("a.html")).toBe("application/octet-stream")
    expect(mediaType("a.xhtml")).toBe("application/octet-stream")
    expect(kindOf("a/b.PNG")).toBe("image")
    expect(kindOf(".json")).toBe("text")
  })
  it("tell text from bytes and a PDF from what only has its name", () => {
    expect(isText(new TextEncoder().encode("héllo\n\tworld"))).toBe(true)
    expect(isText(new Uint8Array([1, 2, 3, 4, 200, 201]))).toBe(false)
    expect(isText(new Uint8Array([65, 0, 66]))).toBe(false)
    expect(isPdf(new TextEncoder().encode("%PDF-1.7"))).toBe(true)
    expect(isPdf(new TextEncoder().encode("<html>"))).toBe(false)
  })
})

describe("sources", () => {
  it("take only http and https", () => {
    expect(sourceOf({ type: "url", value: "javascript:alert(1)" }, "http://h")).toHaveProperty("problem")
    expect(sourceOf({ type: "url", value: "data:text/html,x" }, "http://h")).toHaveProperty("problem")
    expect(sourceOf({ type: "url", value: "https://x/y" }, "http://h")).toEqual({ url: "https://x/y" })
    expect(sourceOf({ type: "key", value: "a/../b" }, "http://h/p")).toEqual({ url: "http://h/p/f/a%2F..%2Fb" })
  })
  it("survive values that do not match their type", () => {
    for (const value of [undefined, null, 5, {}, "%%%"]) expect(sourceOf({ type: "base64", value },
      "http://h")).toHaveProperty("problem")
  })
  it("get the token with a request to the server's stored files, and nowhere else", async () => {
    const asked: [string, string | null][] = []
    vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
      asked.push([url, new Headers(init.headers).get("authorization")])
      return Promise.resolve(new Response("x"))
    })
    const values = ["http://h/f/a", "http://h/f/../q/secret", "http://h/f/%2e%2e/q", "http://h.evil/f/a", "https://x/f/a"]
    for (const value of values) await readHead(sourceOf({ type: "url", value }, "http://h"), { base: "http://h", token: "t" },
      10, signal)
    vi.unstubAllGlobals()
    expect(asked.map(([, token]) => token)).toEqual(["Bearer t", null, null, null, null])
  })
  it("give no more than the beginning that was asked for", async () => {
    const head = await readHead(sourceOf({ value: "x".repeat(1000) }, "http://h"), { base: "http://h" }, 10, signal)
    expect([head.bytes.length, head.size]).toEqual([10, 1000])
  })
})

describe("zip", () => {
  it("keeps every name inside the folder", () => {
    expect(zipName("../../etc/passwd", new Set())).toBe("etc/passwd")
    expect(zipName("/abs/./x", new Set())).toBe("abs/x")
    expect(zipName("C:\\w\\x", new Set())).toBe("C_/w/x")
    expect(zipName("..", new Set())).toBe("file")
    expect(zipName("a", new Set(["a", "a~2"]))).toBe("a~3")
  })
  it("contains the outputs' content", async () => {
    const outputs = { "a.txt": { value: "hello" }, "d/b.bin": { type: "base64", value: "AAEC" } } as const
    const zip = await zipOutputs(outputs, { base: "http://h" }, signal, () => {})
    const files = unzipSync(new Uint8Array(await zip.arrayBuffer()))
    expect(Object.keys(files)).toEqual(["a.txt", "d/b.bin"])
    expect([...(files["d/b.bin"] ?? [])]).toEqual([0, 1, 2])
  })
})

describe("json", () => {
  it("shows a bounded number of members and shortens long strings", () => {
    expect(members(Array.from({ length: 1_000_000 }), 100)).toMatchObject({ n: 1_000_000, shown: { length: 100 } })
    expect(jsonLine("x".repeat(10_000)).text.length).toBeLessThan(400)
  })
})
