import { createHash } from "node:crypto"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import type { Definition } from "../wire.ts"
import { base64Of, bytesOfBase64 } from "./base64.ts"
import { build, type Sources } from "./build.ts"
import { jobIdOf, oldJobIdOf } from "./canonical.ts"
import { type Input, inputOf } from "./inputs.ts"
import { type ResolvedDefinition, DefinitionResolver } from "./resolve.ts"
import { type Put, Uploader } from "./upload.ts"
import { bearerOfFile } from "../queue/token.ts"

const BASE = "http://localhost:7801"
const fresh = (): boolean => false
const sources = (part: Partial<Sources> & { job: Definition }): Sources => ({ environment: {}, texts: {}, inputs: [], ...part })
const resolve = async (part: Partial<Sources> & { job: Definition }): Promise<ResolvedDefinition> =>
  (await new DefinitionResolver().resolve(build(sources(part)), BASE, fresh))!
const arrived = (values: Record<string, unknown>): [string, Input][] =>
  Object.entries(values).flatMap(([name, value]) => {
    const input = inputOf(value)
    return input === undefined ? [] : [[name, input] as [string, Input]]
  })

const FIRST = {
  job: { image: "alpine:3.18.5", command: "echo ${foo} $foo" },
  environment: { foo: "bar baz", terminal: "true", hm: "disabled", channel: "zz" },
}

test("the first end-to-end vector gives the definition of the existing client, and is found by its id", async () => {
  const { id, definition, uploads } = await resolve(FIRST)
  expect(definition).toEqual({
    command: "echo bar baz $foo", image: "alpine:3.18.5",
    env: { foo: "bar baz", terminal: "true", hm: "disabled", channel: "zz" },
  })
  expect(oldJobIdOf(definition)).toBe("07d84147836cbdbddf82e6382bc6a375e94ed8feabbe33c283244349c822f18a")
  const { channel: _, ...env } = definition.env!
  expect(id).toBe(jobIdOf({ ...definition, env }))
  expect(uploads).toEqual([])
})

test("the second end-to-end vector, with inputs of many kinds and an upload, gives the same id too", async () => {
  const inputs = arrived({
    "a.txt": "hello", "/lead.txt": "x".repeat(201), n: 42, nul: null, "obj.json": { z: 1, a: [1, 2] },
    ref: { type: "url", value: "https://example.com/x.bin" }, keyref: { type: "key", value: "abc123" },
    utf8ref: { type: "utf8", value: "refval" }, emptyref: { type: "utf8", value: "" },
  })
  const { definition, uploads } = await resolve({ ...FIRST, inputs })
  expect(oldJobIdOf(definition)).toBe("108f1a8e2e94036b4a168ec1de72e9bf074b445cc461a5cdfefb48ded532e369")
  expect(definition.inputs!["lead.txt"]!.value).toBe(`${BASE}/f/84a0678c90937f5dcf9994d5866668da6b995109c8ad845410559b48a4ecafed`)
  expect(uploads.map(({ name, body }) => [name, body.size])).toEqual([["lead.txt", 201]])
})

test("substitution uses literal values, once for each variable, and never changes the job", () => {
  const job: Definition = { command: "${a} ${a} ${b}", build: { context: "https://x/${a}" }, inputs: { f: { value: "1" } },
    env: { a: "own", c: "kept" } }
  const before = JSON.stringify(job)
  const { rest } = build(sources({ job, environment: { a: "$& $1 ${b}", b: "B" } }))
  expect(rest.command).toBe("$& $1 B ${a} ${b}")
  expect(rest.build!.context).toBe("https://x/$& $1 B")
  expect(rest.env).toEqual({ a: "$& $1 ${b}", b: "B", c: "kept" })
  expect(JSON.stringify(job)).toBe(before)
})

test("config files of the job are replaced, and empty maps are absent", async () => {
  const { definition } = await resolve({ job: { image: "a", configFiles: { x: { value: "1" } }, inputs: {}, env: {}, requirements: {} } })
  expect(definition).toEqual({ image: "a" })
  const { definition: withText } = await resolve({ job: { image: "a" }, texts: { "/etc/x": "t" } })
  expect(withText.configFiles).toEqual({ "/etc/x": { type: "utf8", value: "t" } })
})

test("200 characters stay inside and 201 are uploaded, as text, JSON or base64, in inputs and in config files", async () => {
  const values = (n: number): [string, Input][] => [
    ["utf8", { value: "é".repeat(n), type: "utf8" }], ["json", { value: "x".repeat(n - 2), type: "json" }],
    ["none", { value: "x".repeat(n) }],
  ]
  expect((await resolve({ job: { image: "a" }, inputs: values(200), texts: { t: "x".repeat(200) } })).uploads).toEqual([])
  const { uploads, definition } = await resolve({ job: { image: "a" }, inputs: values(201), texts: { t: "y".repeat(201) } })
  expect(uploads.map(({ name, body }) => [name, body.size])).toEqual([["utf8", 402], ["json", 201], ["none", 201], ["t", 201]])
  const hash = createHash("sha256").update("é".repeat(201)).digest("hex")
  expect(definition.inputs!.utf8).toEqual({ value: `${BASE}/f/${hash}`, type: "url", hash })
  const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i)
  const inputs: [string, Input][] = [["in", new Blob([bytes(150) as BlobPart])], ["out", new Blob([bytes(151) as BlobPart])],
    ["text", { value: base64Of(bytes(151)), type: "base64" }]]
  const binary = await resolve({ job: { image: "a" }, inputs })
  expect(binary.definition.inputs!.in).toEqual({ value: base64Of(bytes(150)), type: "base64" })
  expect(binary.uploads.map(({ name, body }) => [name, body.size])).toEqual([["out", 151], ["text", 151]])
  expect(binary.uploads[0]!.hash).toBe(binary.uploads[1]!.hash)
})

test("values of every binary form are bytes, references are references", async () => {
  const text = async (value: unknown): Promise<string> => {
    const input = inputOf(value)!
    return input instanceof Blob ? base64Of(new Uint8Array(await input.arrayBuffer())) : input.type === "base64"
      ? String(input.value) : ""
  }
  const forms = [
    Uint8Array.of(1, 2, 3), Uint8Array.of(0, 1, 2, 3).subarray(1), Uint8Array.of(1, 2, 3).buffer,
      new Blob([Uint8Array.of(1, 2, 3)]),
    new File([Uint8Array.of(1, 2, 3)], "x"), { _s: true, _c: "Uint8Array", value: "AQID", byteLength: 3, byteOffset: 0, size: 3 },
    { ref: "base64", c: "Blob", value: "AQID" }, "data:application/octet-stream;type=Uint8Array;base64,AQID",
    "data:application/octet-stream;base64,AQID", "data:text/plain;blob=true;base64,AQID", "data:;blob=true;base64,AQID",
    "data:text/csv;file=true;name=a%20b.txt;lastModified=7;base64,AQID",
  ]
  for (const form of forms) expect(await text(form)).toBe("AQID")
  const url = "https://example.com/f/abc?x=1"
  for (const type of ["", ";type=File"]) {
    expect(inputOf(`data:text/x-uri;charset=utf-8${type},${encodeURIComponent(url)}`)).toEqual({ value: url, type: "url" })
  }
})

test("a data: URL of any kind is decoded, and a text that only begins like one stays text", async () => {
  for (const [url, ref] of [
    ["data:image/png;base64,AAAA", { value: "AAAA", type: "base64" }], ["data:;base64,AAAA", { value: "AAAA", type: "base64" }],
    ["data:application/json;charset=utf-8;BASE64,e30%3D", { value: "e30=", type: "base64" }],
    ["data:text/plain;base64,aGk\n=", { value: "aGk=", type: "base64" }],
    ["data:text/plain,a%20b%2Cc,d", { value: "a b,c,d", type: "utf8" }], ["data:,h%C3%A9", { value: "h\u00e9", type: "utf8" }],
    ["data:image/svg+xml;utf8,<svg/>", { value: "<svg/>", type: "utf8" }],
  ] as const) {
    expect(inputOf(url)).toEqual(ref)
    expect(inputOf({ type: "url", value: url })).toEqual(ref)
  }
  const bytes = inputOf("data:application/octet-stream,%FFa%00%")
  expect(bytes).toBeInstanceOf(Blob)
  expect([...new Uint8Array(await (bytes as Blob).arrayBuffer())]).toEqual([255, 97, 0, 37])
  for (const text of ["data: 5, 6", "data", "data:", "data:note to self", "data:a b,c", "data:image/png;base64,!!", "database:x,y"]) {
    expect(inputOf(text)).toEqual({ value: text, type: "utf8" })
  }
  expect(inputOf({ type: "url", value: "https://example.com/x" })).toEqual({ type: "url", value: "https://example.com/x" })
})

test("scalars are text, only missing values are skipped, and foreign objects become plain JSON", () => {
  expect([true, 1.5, 2n].map((value) => inputOf(value))).toEqual(["true", "1.5", "2"].map((value) => ({ value, type: "utf8" })))
  expect([null, undefined, () => 1, Symbol("s")].map((value) => inputOf(value))).toEqual([undefined, undefined, undefined,
    undefined])
  expect(inputOf({ when: new Date(0), no: undefined })).toEqual({ value: { when: "1970-01-01T00:00:00.000Z" }, type: "json" })
  expect(inputOf([1])).toEqual({ value: [1], type: "json" })
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  expect(() => inputOf(cycle)).toThrow(TypeError)
  expect(() => inputOf({ type: "base64", value: { a: 1 } })).toThrow(TypeError)
})

test("base64 of any length survives both ways, and invalid base64 is reported with its name", async () => {
  for (const n of [0, 1, 2, 3, 1_000_000]) {
    const bytes = Uint8Array.from({ length: n }, (_, i) => (i * 7) & 255)
    expect(base64Of(bytes)).toBe(Buffer.from(bytes).toString("base64"))
    expect(Buffer.compare(Buffer.from(await bytesOfBase64(base64Of(bytes)).arrayBuffer()), bytes)).toBe(0)
  }
  const broken = build(sources({ job: { image: "a" }, inputs: [["b.bin", { value: "!".repeat(300), type: "base64" }]] }))
  await expect(new DefinitionResolver().resolve(broken, BASE, fresh)).rejects.toThrow("The input b.bin cannot be read: it is not base64.")
})

test("values seen before are not hashed again, and a stale resolution ends without a result", async () => {
  const blob = new Blob([new Uint8Array(3_000_000)])
  const slices = vi.spyOn(blob, "slice")
  const resolver = new DefinitionResolver()
  const draft = (text: string) => build(sources({ job: { image: "a" }, inputs: [["b", blob]], texts: { t: text } }))
  await resolver.resolve(draft("1"), BASE, fresh)
  const nSlices = slices.mock.calls.length
  await resolver.resolve(draft("2"), BASE, fresh)
  expect(slices.mock.calls.length).toBe(nSlices)
  expect(await resolver.resolve(draft("3"), BASE, () => true)).toBeUndefined()
})

beforeEach(() => { vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }) })
afterEach(() => { vi.useRealTimers() })

const upload = (hash: string) => ({ name: hash, base: BASE, hash, body: new Blob(["x"]) })
const never = new AbortController().signal

test("an upload is done once, however often and by however many callers it is requested", async () => {
  const urls: string[] = []
  const uploader = new Uploader((url) => { urls.push(url); return Promise.resolve(200) })
  await Promise.all([1, 2].map(() => uploader.upload(upload("a"), () => {}, never)))
  await uploader.upload(upload("a"), () => {}, never)
  await uploader.upload({ ...upload("a"), base: "http://other" }, () => {}, never)
  expect(urls).toEqual([`${BASE}/f/a`, "http://other/f/a"])
})

test("an upload is tried again after 100 ms, doubling, nine times in all, and then says why it failed", async () => {
  const times: number[] = []
  let now = 0
  const put: Put = () => { times.push(now); return Promise.resolve(500) }
  const failed = new Uploader(put).upload(upload("a"), () => {}, never).catch((error: Error) => error.message)
  for (; now < 60_000; now += 50) await vi.advanceTimersByTimeAsync(50)
  expect(await failed).toBe("the server answered 500")
  expect(times).toHaveLength(9)
  const waits = times.slice(1).map((time, i) => time - times[i]!)
  waits.forEach((wait, n) => expect(Math.abs(wait - 100 * 2 ** n)).toBeLessThanOrEqual(100))
})

test("while no server answers an upload waits for as long as it is needed, and then continues", async () => {
  let isAway = true
  const put = vi.fn<Put>(() => (isAway ? Promise.reject(new TypeError("x")) : Promise.resolve(200)))
  const said: unknown[] = []
  const done = new Uploader(put).upload(upload("a"), (progress) => said.push(progress), never)
  await vi.advanceTimersByTimeAsync(600_000)
  expect([put.mock.calls.length > 100, said.every((progress) => progress === "waiting")]).toEqual([true, true])
  isAway = false
  await vi.advanceTimersByTimeAsync(5_000)
  await done
  expect(said.at(-1)).toBe(1)
})

test("a waiting upload ends when it is no longer needed, and one of a changed file ends at once", async () => {
  const put = vi.fn<Put>(() => Promise.reject(new TypeError("x")))
  const stop = new AbortController()
  const ended = new Uploader(put).upload(upload("a"), () => {}, stop.signal).catch(() => "ended")
  await vi.advanceTimersByTimeAsync(60_000)
  stop.abort(new Error("stopped"))
  await vi.advanceTimersByTimeAsync(3_000)
  expect(await ended).toBe("ended")
  const body = new Blob(["x"])
  vi.spyOn(body, "slice").mockReturnValue({ arrayBuffer: () => Promise.reject(new Error("gone")) } as unknown as Blob)
  await expect(new Uploader(put).upload({ ...upload("b"), body }, () => {}, never)).rejects.toThrow("the file was changed")
})

test("a file larger than the server accepts is not sent nine times", async () => {
  const put = vi.fn<Put>(() => Promise.resolve(413))
  await expect(new Uploader(put).upload(upload("a"), () => {}, never)).rejects.toThrow("it is larger than the server accepts")
  expect(put).toHaveBeenCalledTimes(1)
})

test("a required token is sent at the next try, and an upload that is refused is not tried again", async () => {
  const sent: unknown[] = []
  let token = "first"
  const headersOf = (url: string): Record<string, string> => bearerOfFile(url, BASE, token)
  const put: Put = (url, _, headers) => {
    sent.push([url, headers])
    token = "second"
    return Promise.resolve(sent.length === 1 ? 500 : sent.length === 2 ? 200 : 401)
  }
  const uploader = new Uploader(put, headersOf)
  const done = uploader.upload(upload("a"), () => {}, never)
  await vi.advanceTimersByTimeAsync(200)
  await done
  await expect(uploader.upload({ ...upload("b"), base: "http://other" }, () => {}, never)).rejects.toThrow("requires a token")
  expect(sent).toEqual([
    [`${BASE}/f/a`, { Authorization: "Bearer first" }], [`${BASE}/f/a`, { Authorization: "Bearer second" }],
    ["http://other/f/b", {}],
  ])
})
