/** Text files in the editor: tabs, the main one, edits that are not saved, and the job that an edit makes. */
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { test } from "node:test"
import { IMAGE, closePage, idOf, openPage, openTab, press, showsLog, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()

const JOB = { image: IMAGE, command: "sh /inputs/run.sh" }
const FILES = { "data.txt": "first\nsecond\nthird\n", "run.sh": "cat /inputs/data.txt\necho ran\n" }

async function open(inputs = FILES, more = {}) {
  const page = await openPage(browser)
  await page.goto(stack.page({ queue: stack.queue, job: JOB, inputs, ...more }))
  await showsState(page, /Ready to run|Succeeded/)
  await openTab(page, /Files/)
  return page
}

const fileTab = (page, name) => page.getByRole("tablist", { name: "Text files" }).getByRole("tab").filter({ hasText: name })
const editor = (page, name) => page.getByLabel(`Text of ${name}`)

/** Puts a text in place of all that the editor of a file holds. */
async function type(page, name, text) {
  await fileTab(page, name).click()
  await page.locator(".cm-editor").waitFor()
  await editor(page, name).click()
  await page.keyboard.press("Control+A")
  await page.keyboard.insertText(text)
}

/** The server's id of the job with these files; no worker runs it. */
const serversId = (inputs) => {
  const ref = (value) => {
    if (value.length <= 200) return { type: "utf8", value }
    return { type: "url", value: `${stack.url}/f/${createHash("sha256").update(value).digest("hex")}` }
  }
  const configFiles = Object.fromEntries(Object.entries(inputs).map(([name, text]) => [name, ref(text)]))
  return stack.submit({ ...JOB, configFiles }, stack.newQueue())
}

test("several files are tabs, and the one that is chosen is the main one, after a reload too", async () => {
  const page = await open()
  const tabs = page.getByRole("tablist", { name: "Text files" }).getByRole("tab")
  assert.deepEqual(await tabs.locator(".cut").allInnerTexts(), ["data.txt", "run.sh"])
  await page.locator("footer").getByRole("button", { name: "data.txt" }).waitFor()
  await fileTab(page, "run.sh").click()
  await editor(page, "run.sh").getByText("echo ran").waitFor()
  await page.getByRole("button", { name: "Make main file" }).click()
  await page.locator("footer").getByRole("button", { name: "run.sh" }).waitFor()
  await page.reload()
  await page.locator("footer").getByRole("button", { name: "run.sh" }).waitFor()
  await editor(page, "run.sh").getByText("echo ran").waitFor()
  await closePage(page)
})

test("an edit is kept while other files are looked at, and Ctrl+Enter in the editor saves all and runs", async () => {
  const page = await open()
  const before = await idOf(page)
  await type(page, "data.txt", "edited\n")
  await type(page, "run.sh", "cat /inputs/data.txt\necho saved too\n")
  await fileTab(page, "data.txt").getByText("not saved").waitFor({ state: "attached" })
  await editor(page, "data.txt").waitFor({ state: "detached" })
  await fileTab(page, "data.txt").click()
  await editor(page, "data.txt").getByText("edited").waitFor()
  assert.equal(await idOf(page), before, "an unsaved edit is not part of the job")
  await editor(page, "data.txt").click()
  await page.keyboard.press("Control+Enter")
  await showsLog(page, "saved too")
  await showsLog(page, "edited")
  await showsState(page, "Succeeded")
  assert.notEqual(await idOf(page), before)
  assert.equal(await page.getByText("not saved").count(), 0)
  await closePage(page)
})

test("an edit that is discarded or undone leaves the job as it was", async () => {
  const page = await open()
  await type(page, "data.txt", "something else")
  await page.getByRole("button", { name: "Discard edits" }).click()
  await editor(page, "data.txt").getByText("second").waitFor()
  await type(page, "run.sh", "x")
  await page.keyboard.press("Control+Z")
  await page.locator("header").getByRole("button", { name: "Run", exact: true }).waitFor()
  assert.equal(await page.getByText("not saved").count(), 0)
  await closePage(page)
})

test("the id follows each edit that is saved, and is the server's, for small and for large files", async () => {
  const page = await open()
  const seen = new Set([await idOf(page)])
  const texts = ["one\n", "ünï 世界 🚀 \\ \"quoted\"\n", "x".repeat(200), "x".repeat(201), `large ${"é".repeat(5_000)}\n`]
  for (const text of texts) {
    await type(page, "data.txt", text)
    await page.keyboard.press("Control+S")
    const id = await until(async () => {
      const now = await idOf(page)
      return seen.has(now) ? undefined : now
    }, "another id")
    seen.add(id)
    assert.equal(id, await serversId({ ...FILES, "data.txt": text }))
  }
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await showsLog(page, "ran")
  await closePage(page)
})

test("what an edit changed is shown line by line, beside the id", async () => {
  const page = await open()
  const before = await idOf(page)
  await type(page, "data.txt", "first\nanother second\nthird\nfourth\n")
  await page.keyboard.press("Control+S")
  await openTab(page, /Settings/)
  await page.getByText("Definition and id: why did it run again?").click()
  await page.getByText(`Changed since ${before.slice(0, 8)}`).waitFor()
  const lines = page.getByRole("region", { name: /Changed lines of .*data\.txt/ })
  assert.deepEqual(await lines.locator("del").allInnerTexts(), ["− second"])
  assert.deepEqual(await lines.locator("ins").allInnerTexts(), ["+ another second", "+ fourth"])
  await closePage(page)
})

test("a link whose fragment is edited from outside shows its text, and keeps what is typed and not saved", async () => {
  const page = await open()
  await type(page, "run.sh", "echo mine\n")
  const inputs = { ...FILES, "data.txt": "from outside\n", "new.txt": "new\n" }
  await page.evaluate((address) => { location.href = address }, stack.page({ queue: stack.queue, job: JOB, inputs }))
  await fileTab(page, "new.txt").waitFor()
  await fileTab(page, "data.txt").click()
  await editor(page, "data.txt").getByText("from outside").waitFor()
  await fileTab(page, "run.sh").click()
  await editor(page, "run.sh").getByText("echo mine").waitFor()
  await press(page, "Save and run")
  await showsLog(page, "mine")
  assert.equal(await idOf(page), await serversId({ ...inputs, "run.sh": "echo mine\n" }))
  await closePage(page)
})
