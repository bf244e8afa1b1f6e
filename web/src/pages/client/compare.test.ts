import { expect, test } from "vitest"
import type { PastRun } from "../../client/client.ts"
import { b64 } from "../../client/world.fake.ts"
import type { Definition, JobResult, LogLine } from "../../wire.ts"
import { changesBetween, permalinkOf } from "./compare.ts"
import { hubSearch, suggestedImages } from "./image-names.ts"
import { logsBetween, type Outcome, outputsBetween } from "./outcomes.ts"

const ROOT = new URL("https://host/below/")
const stored = (digit: string): NonNullable<Definition["configFiles"]> =>
  ({ "main.sh": { value: `https://host/f/${digit.repeat(64)}`, type: "url", hash: digit.repeat(64) } })
const run = (definition: Definition, texts: Record<string, string>): PastRun => ({
  id: "a/b", queue: "q", definition, fragment: `#?inputs=${b64(texts)}`, phase: "succeeded", submittedAt: 1, duration: 5,
})

test("two runs differ in their definitions, and in the lines of files on the server", () => {
  const text = (line: string): string => `first\n${line}\n${"x".repeat(300)}\n`
  const before = run({ image: "a", command: "one", configFiles: stored("a") }, { "main.sh": text("old") })
  const after = run({ image: "a", command: "two", configFiles: stored("b") }, { "main.sh": text("new") })
  const [command, file, ...more] = changesBetween(before, after).toSorted((a, b) => a.path.length - b.path.length)
  expect([command, more]).toEqual([{ path: "command", before: "one", after: "two" }, []])
  expect(file?.lines?.map(({ kind, text }) => `${kind} ${text.slice(0, 5)}`))
    .toEqual(["same first", "gone old", "new new", "same xxxxx", "same "])
  expect(changesBetween(before, before)).toEqual([])
})

test("a file whose text the link lacks is identified by its contents, and a broken link does no further harm", () => {
  const broken = { ...run({ image: "a", configFiles: stored("a") }, {}), fragment: "#?inputs=%%%" }
  expect(changesBetween(broken, run({ image: "a", configFiles: stored("b") }, {}))[0]).toMatchObject(
    { before: "contents aaaaaaaaaaaa…", after: "contents bbbbbbbbbbbb…" })
})

test("a run's page is on the server of its queue", () => {
  expect(["q", "local", "http://other/x/q/name", "a/b"].map((queue) => permalinkOf({ id: "1/2", queue }, ROOT))).toEqual([
    "https://host/below/j/1%2F2", "http://localhost:8000/j/1%2F2", "http://other/x/j/1%2F2", "https://host/below/j/1%2F2",
  ])
})

test("images are suggested once each, from local data, and only valid images", () => {
  const brief = { command: "", isBuild: false, isItem: false, queuedTime: 1, isFinished: false, code: undefined }
  const briefs = new Map([["1", { ...brief, image: "of/queue:1" }], ["2", { ...brief, image: "a b<script>" }]])
  const history = [{ image: "mine" }, { image: "alpine:3.20" }, { build: {} }, { image: "mine" }].map((job) => run(job, {}))
  expect(suggestedImages(history, briefs, ["alpine:3.20", "asman/demo"]))
    .toEqual(["mine", "alpine:3.20", "of/queue:1", "asman/demo"])
  const many = Array.from({ length: 200 }, (_, n) => run({ image: `i${n}` }, {}))
  expect(suggestedImages(many, new Map(), []).length).toBe(50)
})

test("Docker Hub is searched for the name alone", () => {
  const images = ["", "python:3.12", "me/tool@sha256:ab", "ghcr.io/me/tool:1", "localhost:5000/x"]
  expect(images.map((image) => new URL(hubSearch(image)).search))
    .toEqual(["?type=image", "?type=image&q=python", "?type=image&q=me%2Ftool", "?type=image&q=me%2Ftool", "?type=image&q=x"])
})

test("outputs are compared by their contents, wherever these are stored", () => {
  const outcome = (outputs: JobResult["outputs"]): Outcome =>
    ({ result: { logs: [], isTimedOut: false, outputs }, base: "https://host", token: undefined })
  const file = (digit: string): JobResult["outputs"][string] => ({ type: "url", value: `https://host/f/${digit.repeat(64)}` })
  const before = outcome({ a: { value: "one" }, b: { value: "b25l", type: "base64" }, c: file("a"), d: file("a"), e: file("e"),
    g: { type: "url", value: "https://other/g" } })
  const after = outcome({ a: { value: "one" }, b: { value: "one" }, c: file("a"), d: file("b"), f: file("f"),
    g: { type: "url", value: "https://other/g2" } })
  expect(outputsBetween(before, after).map(({ name, is }) => `${name} ${is}`)).toEqual(
    ["a same", "b same", "c same", "d changed", "e only earlier", "f only later", "g not known"])
})

test("logs are compared line by line, the last 2,000 of them, and equal ones show nothing", () => {
  const log = (...texts: string[]): LogLine[] => texts.map((text, at) => [text, at])
  expect(logsBetween(log("a\n", "b"), log("a", "b"))).toEqual([])
  expect(logsBetween(log("one"), log("two")).map(({ kind, text }) => `${kind} ${text}`)).toEqual(["gone one", "new two"])
  const long = Array.from({ length: 100_000 }, (_, n) => String(n))
  expect(logsBetween(log("first", ...long), log("other", ...long))).toEqual([])
  expect(logsBetween(log(...long), log(...long, "end")).at(-1)).toEqual({ kind: "new", text: "end" })
})
