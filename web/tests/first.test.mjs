/** The first visit to what `asman up` serves: one click, and a result. ASMAN_URL says where it is. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { closePage, openPage, readLog, showsLog, showsState, until, useBrowser } from "./stack.mjs"

const browser = await useBrowser()

const EXAMPLES = { "Count words": "873 words, 262 different", "Reduce a CSV file": "tower,34,570.40,16.78" }

for (const [title, line] of Object.entries(EXAMPLES)) {
  test(`one click on the example "${title}" leads from a first visit to a result`, async () => {
    const page = await openPage(browser)
    await page.goto(process.env.ASMAN_URL)
    await page.getByRole("button", { name: title }).click()
    await showsState(page, "Succeeded")
    await showsLog(page, line)
    await page.getByRole("region", { name: "Outputs" }).getByRole("table").waitFor()
    await closePage(page)
  })
}

test("the example that draws its progress ends with one line of it", async () => {
  const page = await openPage(browser)
  await page.goto(process.env.ASMAN_URL)
  await page.getByRole("button", { name: "Watch progress" }).click()
  await showsState(page, "Running")
  await showsState(page, "Succeeded", { timeout: 90_000 })
  await showsLog(page, "pi is about 3.1415927")
  await until(async () => (await readLog(page)).match(/\s%/g)?.length === 1, "one line of progress")
  await closePage(page)
})

test("one click creates a private queue, with a name that cannot be guessed", async () => {
  const page = await openPage(browser)
  await page.goto(process.env.ASMAN_URL)
  await page.getByRole("button", { name: "Create a private queue" }).click()
  await until(() => page.url().includes("queue="), "a queue in the fragment")
  const queue = decodeURIComponent(/queue=([^&]*)/.exec(page.url())[1])
  // 128 bits in base 64 are 22 characters.
  assert.ok(queue.length >= 22, queue)
  await page.context().close()
})
