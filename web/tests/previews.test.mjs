/** What outputs look like, each of a real kind made here. Media play, documents open, large ones are cut, and nothing runs. */
import assert from "node:assert/strict"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { oggOpus, pdf, png, recordings, wav } from "./media.mjs"
import { IMAGE, choose, closePage, openPage, openTab, press, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()
const folder = mkdtempSync(join(tmpdir(), "asman-previews-"))
after(() => rmSync(folder, { recursive: true }))

const HEAP_MAX = 150 * 2 ** 20

/** Runs a job that hands its inputs on as outputs, with what a script adds, and shows the outputs. */
async function outputsOf(files, script = "true") {
  const page = await openPage(browser)
  page.on("dialog", (dialog) => (page.problems.push(`a dialog: ${dialog.message()}`), dialog.dismiss()))
  const command = `sh -c '${script}; for f in ${Object.keys(files).join(" ")}; do busybox cp /inputs/$f /outputs/; done'`
  await page.goto(stack.page({ queue: stack.queue, job: { image: IMAGE, command } }))
  await openTab(page, /Files/)
  const paths = Object.entries(files).map(([name, bytes]) => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  })
  await choose(page, paths)
  for (const name of Object.keys(files)) {
    await page.locator(".files").getByTitle(`/inputs/${name}`, { exact: true }).first().waitFor()
  }
  await press(page, "Run")
  await showsState(page, "Succeeded", { timeout: 90_000 })
  await openTab(page, /Outputs/)
  return page
}

/** Opens the preview of an output. */
async function preview(page, name) {
  const has = page.getByRole("button", { name, exact: true })
  const row = page.getByRole("region", { name: "Outputs" }).locator("li").filter({ has })
  const button = row.getByRole("button", { name, exact: true })
  if ((await button.getAttribute("aria-expanded")) === "false") await button.click()
  await row.locator(".preview").waitFor()
  return row.locator(".preview")
}

/** Waits until a media element knows what it plays. */
const lengthOf = (media) => media.evaluate((element) => new Promise((resolve, reject) => {
  const told = () => resolve({ duration: element.duration, width: element.videoWidth, error: element.error?.message })
  if (element.readyState >= 1) return told()
  element.addEventListener("loadedmetadata", told, { once: true })
  element.addEventListener("error", () => reject(new Error(element.error?.message)), { once: true })
}))

test("images are shown, and what an SVG holds does not run", async () => {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30" onload="alert(1)">
    <script>alert(2);document.title="pwned"</script><rect width="40" height="30" fill="teal"/><foreignObject width="9" height="9">
    <img xmlns="http://www.w3.org/1999/xhtml" src="x" onerror="alert(3)"/></foreignObject></svg>`
  const page = await outputsOf({ "tiny.png": png(20, 10), "evil.svg": svg, "broken.png": "no image" })
  for (const [name, width] of [["tiny.png", 20], ["evil.svg", 40]]) {
    const image = (await preview(page, name)).getByRole("img")
    await image.waitFor()
    await image.evaluate((element) => element.decode())
    assert.equal(await image.evaluate((element) => element.naturalWidth), width, name)
  }
  await (await preview(page, "broken.png")).getByText("cannot be shown").waitFor()
  assert.notEqual(await page.title(), "pwned")
  await closePage(page)
})

test("audio and video load, with their length", async () => {
  const maker = await openPage(browser)
  await maker.goto(stack.url)
  const { webm, mp4, sound, packets } = await recordings(maker)
  await closePage(maker)
  const sounds = { "tone.wav": wav(0.5), "tone.ogg": oggOpus(packets), "tone.webm": sound }
  const page = await outputsOf({ ...sounds, "film.webm": webm, "film.mp4": mp4, "broken.mp4": "no film" })
  for (const name of ["tone.wav", "tone.ogg"]) {
    const { duration } = await lengthOf((await preview(page, name)).locator("audio"))
    assert.ok(duration > 0.2 && duration < 3, `${name} lasts ${duration} s`)
  }
  for (const name of ["film.webm", "film.mp4", "tone.webm"]) {
    const { duration, width } = await lengthOf((await preview(page, name)).locator("video"))
    assert.ok(duration > 0, `${name} lasts ${duration} s`)
    assert.equal(width, name.startsWith("film") ? 64 : 0, name)
  }
  await (await preview(page, "broken.mp4")).getByText("cannot be shown").waitFor()
  await closePage(page)
})

/** Whether the browser's own reader of PDF has opened what lies at an address. */
async function isReader(page, address) {
  const hold = `embed[type="application/x-google-chrome-pdf"][original-url="${address}"]`
  const counts = page.frames().map((frame) => frame.locator(hold).count().catch(() => 0))
  return (await Promise.all(counts)).some((n) => n === 1)
}

test("a PDF is shown, one of 20 MB too, and what only says that it is one is not", async () => {
  const documents = { "small.pdf": pdf("A small one", 0), "large.pdf": pdf("A large one", 20_000_000) }
  const page = await outputsOf({ ...documents, "fake.pdf": "<script>alert(1)</script>" })
  for (const name of ["small.pdf", "large.pdf"]) {
    const shown = await preview(page, name)
    await shown.locator("iframe").waitFor()
    const address = await shown.locator("iframe").getAttribute("src")
    await until(() => isReader(page, address), `a reader of ${name}`)
  }
  await (await preview(page, "fake.pdf")).getByText("No preview").waitFor()
  await closePage(page)
})

test("tables and trees are cut where they are long, and memory stays bounded", async () => {
  const script = `rows="BEGIN { print \\"n,name,share\\"; for (i = 1; i <= 100000; i++) print i \\",name \\" i \\",0.5\\" }"
    busybox awk "$rows" > /outputs/rows.csv
    { echo [; yes "{\\"name\\": \\"it repeats\\", \\"n\\": 12345}," | head -c 52000000; echo; echo 0]; } > /outputs/big.json
    echo "{\\"a\\": [1, null, \\"<img src=x onerror=alert(1)>\\"]}" > /outputs/small.json`
  const page = await outputsOf({}, script)
  const csv = await preview(page, "rows.csv")
  await csv.getByText("The first 199 rows are shown; the file has").waitFor()
  assert.equal(await csv.getByRole("row").count(), 200)
  await csv.getByRole("cell", { name: "name 199", exact: true }).waitFor()
  await csv.getByRole("button", { name: "As text" }).click()
  await csv.locator("pre", { hasText: "n,name,share" }).waitFor()
  await (await preview(page, "big.json")).getByText(/The first .* of .* are shown/).waitFor()
  const tree = await preview(page, "small.json")
  await tree.getByText('"<img src=x onerror=alert(1)>"').waitFor()
  const bytes = await page.evaluate(() => (gc(), performance.memory.usedJSHeapSize))
  assert.ok(bytes < HEAP_MAX, `${bytes} bytes`)
  await closePage(page)
})

test("texts of every script are shown as they are, empty and binary files are named so", async () => {
  const text = "wide 世界 🚀 é\nשלום עולם\nمرحبا\nabc\u202ecba\u202c end\n\ttab\u0007bell\n"
  const others = { "empty.txt": "", "data.bin": Buffer.from([0, 1, 2, 255]), "no-name-ending": "plain words\n" }
  const page = await outputsOf({ "text.txt": text, ...others })
  const shown = await (await preview(page, "text.txt")).locator("pre").innerText()
  for (const part of ["wide 世界 🚀 é", "שלום עולם", "مرحبا", "\ttab"]) assert.ok(shown.includes(part), shown)
  assert.ok(!/[\u202a-\u202e\u0007]/.test(shown), JSON.stringify(shown))
  assert.ok(shown.includes("U+202E"), shown)
  await (await preview(page, "empty.txt")).getByText("This file is empty.").waitFor()
  await (await preview(page, "data.bin")).getByText("No preview for this kind of file.").waitFor()
  await (await preview(page, "no-name-ending")).locator("pre", { hasText: "plain words" }).waitFor()
  await closePage(page)
})
