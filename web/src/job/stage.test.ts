import { expect, test } from "vitest"
import type { Step } from "../wire.ts"
import { StageReader } from "./stage.ts"

function read(lines: readonly string[], step?: Step): StageReader {
  const reader = new StageReader()
  reader.take(lines.map((line) => [line, 1]), step)
  return reader
}

const BUILD = ["building asman/build:1f", "Step 1/3 : FROM alpine", " ---> 05455a08881e", "Step 2/3 : RUN pip install x"]

test("a pull counts the finished layers, and its last line ends it", () => {
  const lines = ["pulling ghcr.io/me/tool:1", "1: Pulling from me/tool", "aaaaaa000001: Pulling fs layer",
    "aaaaaa000002: Already exists", "aaaaaa000001: Downloading", "aaaaaa000001: Pull complete"]
  expect(read(lines).stage).toEqual({ kind: "pull", what: "ghcr.io/me/tool:1", done: 2, total: 2 })
  expect(read([...lines, "Digest: sha256:ab", "Status: Downloaded newer image for ghcr.io/me/tool:1"]).stage).toBeUndefined()
})

test("a build reports its step in spite of its commands' output, and ends with the requested image", () => {
  const noise = ["pulling strings", "fetching https://host/x", "Successfully built numpy", "Successfully tagged other:1",
    "Status: Downloaded newer image for alpine"]
  for (const step of [undefined, "docker build"] as const) {
    expect(read([...BUILD, ...noise], step).stage).toEqual({ kind: "build", what: "RUN pip install x", done: 2, total: 3 })
    expect(read([...BUILD, "Successfully tagged asman/build:1f"], step).stage).toBeUndefined()
  }
})

test("each stage follows the one before, including the stage after the build", () => {
  const reader = read(["fetching https://host/me/tool"])
  expect(reader.stage).toEqual({ kind: "clone", what: "https://host/me/tool", done: 0, total: 0 })
  reader.take([["the commit is abc", 1]])
  expect(reader.mayBeOver).toBe(true)
  reader.take([["looking for host/kept:1", 1], ["it is not there: 404", 1]])
  expect([reader.stage?.kind, reader.stage?.what, reader.mayBeOver]).toEqual(["pull", "host/kept:1", false])
  reader.take(BUILD.map((line) => [line, 1]))
  expect(reader.stage?.kind).toBe("build")
  reader.take([["Successfully tagged asman/build:1f", 1], ["pushing host/kept:1", 1]])
  expect(reader.stage?.kind).toBe("push")
  reader.take([["pushed host/kept:1", 1]])
  expect(reader.stage).toBeUndefined()
})

test("an image that was built before needs no build", () => {
  expect(read(["fetching https://host/me/tool", "the commit is abc", "asman/build:1f was built before"]).stage).toBeUndefined()
  expect(read([...BUILD, "numpy was built before"]).stage?.kind).toBe("build")
})

test("lines of other workers are recognised only by their step", () => {
  expect(read(["anything"], "cloning repo").stage).toEqual({ kind: "clone", what: "", done: 0, total: 0 })
  expect(read(["anything"], "docker image pull").stage?.kind).toBe("pull")
})

test("hostile lines cost neither time nor memory", () => {
  const layers = Array.from({ length: 5_000 }, (_, n) => `${n.toString(16).padStart(8, "0")}: Pull complete`)
  const reader = read(layers, "docker image pull")
  expect(reader.stage?.total).toBe(1_000)
  const [long] = [read([`Step 9999/9999 : ${"\u202e".repeat(100_000)}`], "docker build").stage]
  expect([long?.what.length, long?.what.includes("\u202e")]).toEqual([120, false])
})
