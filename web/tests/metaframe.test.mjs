/** Our client in the frames of real parents, old and new, with jobs that run in real containers. */
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { after, describe, test } from "node:test"
import { openParent, serveParents, VERSIONS } from "./parent.mjs"
import { IMAGE, until, useStack } from "./stack.mjs"

/** One test, which may run four jobs. */
const TEST_MS = 150_000

const { stack, browser } = await useStack()
const parents = await serveParents()
after(() => parents.close())

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex")

/** The bytes of an output as a parent has it: a reference, or bytes in one of the forms. */
async function bytesOf(value) {
  if (typeof value === "string" && value.startsWith("data:")) return Buffer.from(value.slice(value.indexOf(",") + 1), "base64")
  if (value?.type === "url") return Buffer.from(await (await fetch(value.value)).arrayBuffer())
  if (value?.type === "base64" || value?._s) return Buffer.from(value.value, "base64")
  return Buffer.from(value?.value ?? value)
}

const outputText = async (parent, name) => {
  const value = (await parent.outputs())[name]
  return value === undefined ? undefined : (await bytesOf(value)).toString()
}

/** Sums of all inputs, in the container's words. */
const SUMS = "sh -c 'cd /inputs; sha256sum * > /outputs/sums.txt'"

function readSums(text) {
  return Object.fromEntries(text.trim().split("\n").map((line) => line.split(/\s+/).toReversed()))
}

for (const version of Object.keys(VERSIONS)) {
  const open = (parameters, options) => openParent(browser, parents, version, stack.page({ queue: stack.queue, ...parameters }), options)
  const greets = (parent) => until(async () => (await parent.seen()).includes("SetupIframeServerResponseAck"), "the handshake")
  const gives = (parent, name, isRight, what) => until(async () => {
    const text = await outputText(parent, name)
    return text !== undefined && isRight(text) ? { text } : undefined
  }, what)
  /** Its page, and the frame's, said nothing of errors. */
  const close = async (parent) => {
    assert.deepEqual(parent.page.problems, [])
    await parent.close()
  }

  describe(`in a metapage ${version}`, { timeout: 4 * TEST_MS }, () => {
    test("the handshake comes to its end, and the first outputs are sent", { timeout: TEST_MS }, async () => {
      const parent = await open({})
      await greets(parent)
      await until(async () => (await parent.seen()).includes("OutputsUpdate"), "the first outputs")
      await close(parent)
    })

    test("inputs of every binary form, several at a time, reach the container byte for byte", { timeout: TEST_MS }, async () => {
      const parent = await open({ autostart: true, job: { image: IMAGE, command: SUMS } })
      await greets(parent)
      // The newer library overflows its stack at arrays of some 100,000 bytes, before anything is sent.
      await parent.page.evaluate(() => {
        const bytes = (n, k) => Uint8Array.from({ length: n }, (_, i) => (i * k + (i >> 8)) & 255)
        const file = new File([bytes(400, 19)], "a b.csv", { type: "text/csv", lastModified: 7 })
        globalThis.host.metapage.setInputs({ asman: {
          small: bytes(100, 7), large: bytes(60_000, 11), buffer: bytes(5_000, 13).buffer, floats: Float32Array.of(1.5, -2),
          blob: new Blob([bytes(50_000, 17)], { type: "text/plain" }), file, text: "héllo", number: 42, json: { z: 1, a: [1, 2] },
          old: { _s: true, _c: "Uint8Array", value: "AQID", byteLength: 3, byteOffset: 0, size: 3 },
        } })
      })
      const bytes = (n, k) => Uint8Array.from({ length: n }, (_, i) => (i * k + (i >> 8)) & 255)
      const expected = {
        small: bytes(100, 7), large: bytes(60_000, 11), buffer: bytes(5_000, 13), floats: new Uint8Array(Float32Array.of(1.5, -2).buffer),
        blob: bytes(50_000, 17), file: bytes(400, 19), text: "héllo", number: "42", json: '{"z":1,"a":[1,2]}', old: Uint8Array.of(1, 2, 3),
      }
      const { text } = await gives(parent, "sums.txt", (sums) => sums.includes("floats"), "the sums")
      assert.deepEqual(readSums(text), Object.fromEntries(Object.entries(expected).map(([name, value]) => [name, sha256(value)])))
      await close(parent)
    })

    test("three jobs in a row, and the first again, each hand over their own outputs", { timeout: TEST_MS }, async () => {
      const job = (n) => ({ image: IMAGE, command: `sh -c 'echo ${version}-${n} > /outputs/same.txt; touch /outputs/only-${n}'` })
      const parent = await open({ autostart: true, allowsetjob: true })
      await greets(parent)
      for (const n of [0, 1, 2, 0]) {
        await parent.send({ job: job(n) })
        await gives(parent, "same.txt", (text) => text === `${version}-${n}\n`, `the outputs of job ${n}`)
        const outputs = await parent.outputs()
        assert.deepEqual(Object.keys(outputs).filter((name) => name.startsWith("only-")), [`only-${n}`])
        assert.equal(outputs["job/result.json"].statusCode, 0)
        assert.ok(outputs["job/result.json"].url.startsWith(`${stack.url}/q/${stack.queue}/j/`))
      }
      await close(parent)
    })

    test("a job that the parent sets is kept in the frame's address, and its files are handed on whole", { timeout: TEST_MS }, async () => {
      const command = `sh -c 'echo ${version} > /outputs/a.txt; head -c 1000 /dev/zero > /outputs/z.bin'`
      const parent = await open({ autostart: true, allowsetjob: true, resolverefs: true })
      await greets(parent)
      await parent.send({ "metaframe/job": JSON.stringify({ image: IMAGE, command }) })
      await gives(parent, "a.txt", (text) => text === `${version}\n`, "the output")
      const content = await bytesOf((await parent.outputs())["z.bin"])
      assert.deepEqual([content.length, sha256(content)], [1_000, sha256(new Uint8Array(1_000))])
      const kept = await until(async () => (await parent.urls()).findLast((url) => url.includes("job=")), "the parent's address of the frame")
      const nSeen = (await parent.seen()).length
      // The frame goes away and comes back at the address that the parent kept.
      await parent.page.evaluate((url) => {
        const iframe = document.querySelector("iframe")
        iframe.addEventListener("load", () => { iframe.src = url }, { once: true })
        iframe.src = "about:blank"
      }, kept)
      const sinceThen = async () => (await parent.seen()).slice(nSeen)
      await until(async () => (await sinceThen()).includes("SetupIframeServerResponseAck"), "the second handshake")
      await until(async () => (await sinceThen()).filter((method) => method === "OutputsUpdate").length >= 2, "the outputs again")
      assert.equal(await outputText(parent, "a.txt"), `${version}\n`)
      await close(parent)
    })

    test("a parent that begins to listen late is found", { timeout: TEST_MS }, async () => {
      const parent = await open({}, { isDeaf: true })
      const requests = async () => (await parent.seen()).filter((method) => method === "SetupIframeClientRequest")
      await until(async () => (await requests()).length >= 3, "several requests")
      assert.ok(!(await parent.seen()).includes("SetupIframeServerResponseAck"))
      await parent.hear()
      await greets(parent)
      await close(parent)
    })
  })
}
