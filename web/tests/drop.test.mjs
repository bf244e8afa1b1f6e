/** Files that a user drops onto the page or chooses: they reach the job byte for byte, with any names. */
import assert from "node:assert/strict"
import { createHash, randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { after, test } from "node:test"
import { IMAGE, closePage, idOf, openPage, openTab, press, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()
const folder = mkdtempSync(join(tmpdir(), "asman-drop-"))
after(() => rmSync(folder, { recursive: true }))

const HEAP_MAX = 100 * 2 ** 20
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex")
/** Sums of all inputs, in folders too; each line is a sum, two spaces and a name. */
const SUMS = { image: IMAGE, command: "sh -c 'cd /inputs && busybox find . -type f -exec sha256sum {} + > /outputs/sums.txt'" }

/** Writes files below a folder of their own, and gives its path with their sums by name. */
function write(files) {
  const place = mkdtempSync(join(folder, "files-"))
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true })
    writeFileSync(join(place, name), bytes)
  }
  const sums = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, sha256(bytes)]))
  return { paths: (names) => names.map((name) => join(place, name)), sums }
}

async function open() {
  const page = await openPage(browser)
  page.on("dialog", (dialog) => (page.problems.push(`a dialog: ${dialog.message()}`), dialog.dismiss()))
  await page.goto(stack.page({ queue: stack.queue, job: { ...SUMS, env: { TEST: randomBytes(4).toString("hex") } } }))
  await showsState(page, "Ready to run")
  return page
}

/** Drags files of this machine onto the middle of the page, as the system's file manager does. */
async function drop(page, paths) {
  const session = await page.context().newCDPSession(page)
  const data = { items: [], files: paths, dragOperationsMask: 1 }
  for (const type of ["dragEnter", "dragOver"]) await session.send("Input.dispatchDragEvent", { type, x: 400, y: 400, data })
  await page.getByText("Drop files to give them to the job").waitFor()
  await session.send("Input.dispatchDragEvent", { type: "drop", x: 400, y: 400, data })
  await session.detach()
  await page.getByText("Drop files to give them to the job").waitFor({ state: "detached" })
}

/** Waits until the page lists a file, as text in a tab or as a file to be sent. */
const lists = (page, name) => page.locator(".files").getByTitle(`/inputs/${name}`, { exact: true }).first().waitFor()

/** Runs the job, and gives the sums that the container found, by name. */
async function run(page) {
  await press(page, "Run")
  await showsState(page, "Succeeded", { timeout: 90_000 })
  const id = await idOf(page)
  const output = await fetch(`${stack.url}/q/${stack.queue}/j/${id}/outputs/sums.txt`)
  const rows = (await output.text()).trim().split("\n").map((line) => /^(\w{64})  \.\/(.*)$/.exec(line))
  return Object.fromEntries(rows.map(([, sum, name]) => [name, sum]))
}

const FILES = {
  "plain.txt": "one\ntwo\r\nthree without an end", "with a BOM.txt": "\ufeffa,b\n", "ü b.txt": "héllo 世界\n",
  "<img src=x onerror=alert(1)>": "no HTML", "quo'te \"and\" $HOME `id`.txt": "a name for shells", "-rf": "a name for options",
  "small.bin": Buffer.from([0, 255, 254, 1]), "latin1.txt": Buffer.from("h\xe9llo", "latin1"), "large.bin": randomBytes(300_000),
  "large.txt": "a line of text\n".repeat(10_000),
  "empty.txt": "", "__proto__": "a name for engines",
}

test("text and binary files of odd names, dropped at once, reach the job byte for byte", async () => {
  const { paths, sums } = write(FILES)
  const page = await open()
  await drop(page, paths(Object.keys(sums)))
  for (const name of Object.keys(sums)) await lists(page, name)
  assert.deepEqual(await run(page), sums)
  await closePage(page)
})

test("files that are chosen do as well, and one that is removed is gone", async () => {
  const [small, large, gone] = [50, 100_000, 60].map((n) => randomBytes(n))
  const { paths, sums } = write({ "ü b.txt": "text", "small.bin": small, "large.bin": large, "gone.bin": gone })
  const page = await open()
  await openTab(page, /Files/)
  const choosing = page.waitForEvent("filechooser")
  await page.getByRole("button", { name: "Add files" }).first().click()
  const chooser = await choosing
  assert.ok(chooser.isMultiple())
  await chooser.setFiles(paths(Object.keys(sums)))
  for (const name of Object.keys(sums)) await lists(page, name)
  await page.getByRole("button", { name: "Remove gone.bin" }).click()
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click()
  await page.locator(".files").getByTitle("/inputs/gone.bin").waitFor({ state: "detached" })
  const { "gone.bin": _, ...left } = sums
  assert.deepEqual(await run(page), left)
  await closePage(page)
})

test("a folder that is dropped gives its files with their paths", async () => {
  const below = { "data/a/b.txt": "below\n", "data/a/ü.bin": randomBytes(1_000), "data/top.txt": "top\n" }
  const { paths, sums } = write({ ...below, "beside.txt": "beside\n" })
  const page = await open()
  await drop(page, paths(["data", "beside.txt"]))
  for (const name of Object.keys(sums)) await lists(page, name)
  assert.deepEqual(await run(page), sums)
  await closePage(page)
})

test("a folder of many small texts reaches the job whole, though not all of them fit into a link", async () => {
  const many = Array.from({ length: 150 }, (_, n) => [`many/${n}.txt`, `text ${n}\n${"a word and a space ".repeat(1_000)}`])
  const { paths, sums } = write(Object.fromEntries(many))
  const page = await open()
  await drop(page, paths(["many"]))
  await until(async () => (await page.locator(".files li, .files .tab").count()) === many.length, "all files in the list")
  assert.deepEqual(await run(page), sums)
  await closePage(page)
})

test("a dropped file of 60 MB is sent before the run is requested, and never kept in memory", async () => {
  const { paths, sums } = write({ "video.bin": randomBytes(60_000_000) })
  const page = await open()
  const uploaded = page.waitForResponse((response) => response.request().method() === "PUT" && response.ok())
  await drop(page, paths(["video.bin"]))
  await lists(page, "video.bin")
  await uploaded
  assert.deepEqual(await run(page), sums)
  const bytes = await page.evaluate(() => (gc(), performance.memory.usedJSHeapSize))
  assert.ok(bytes < HEAP_MAX, `${bytes} bytes`)
  await closePage(page)
})

test("a dropped file replaces one of the same name, of any kind", async () => {
  const page = await open()
  for (const bytes of ["as text", randomBytes(500), "as text again"]) {
    const { paths, sums } = write({ "same.dat": bytes })
    await drop(page, paths(["same.dat"]))
    await lists(page, "same.dat")
    const rows = page.locator(".files").getByTitle("/inputs/same.dat", { exact: true })
    await until(async () => (await rows.count()) === 1, "one file of the name")
    assert.deepEqual(await run(page), sums)
  }
  await closePage(page)
})

test("a file that was sent is part of the job: after a reload, by its link, and until it is removed", async () => {
  const page = await open()
  const fragment = () => page.evaluate(() => location.hash.length)
  const before = await fragment()
  const { paths, sums } = write({ "plot.png": randomBytes(5_000), "tiny.bin": Buffer.from([0, 255, 1]) })
  await drop(page, paths(["plot.png", "tiny.bin"]))
  await lists(page, "plot.png")
  assert.deepEqual(await run(page), sums)
  const id = await idOf(page)
  await until(async () => (await fragment()) > before, "the files in the link")

  await page.reload()
  const other = await openPage(browser)
  await other.goto(page.url())
  for (const one of [page, other]) {
    await showsState(one, "Succeeded")
    assert.equal(await idOf(one), id)
    await openTab(one, /Files/)
    for (const name of Object.keys(sums)) await lists(one, name)
  }
  await other.getByRole("button", { name: "Remove tiny.bin" }).click()
  await other.getByRole("dialog").getByRole("button", { name: /Remove/ }).click()
  await showsState(other, "Ready to run")
  assert.deepEqual(await run(other), { "plot.png": sums["plot.png"] })
  await closePage(page)
  await closePage(other)
})
