/** The page of one job and the page of one queue. */
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { test } from "node:test"
import { IMAGE, closePage, openPage, shell, showsLog, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()

test("the page of a job follows it to its end, and shows its files, its definition and its history", async () => {
  const id = await stack.submit(shell("echo begun; sleep 2; echo a,b > /outputs/t.csv; echo ended"))
  const page = await openPage(browser)
  await page.goto(`${stack.url}/j/${id}`)
  await page.getByText("Running").first().waitFor()
  await page.getByText("Succeeded").first().waitFor()
  await showsLog(page, "ended")
  await page.getByRole("button", { name: "t.csv" }).first().waitFor()
  await page.getByRole("tab", { name: /Definition/ }).click()
  await page.getByText(IMAGE).first().waitFor()
  await page.getByRole("tab", { name: /History/ }).click()
  await page.getByRole("tabpanel").getByText(/claimed|taken/i).first().waitFor()
  await page.getByRole("link", { name: "Open in the client" }).click()
  await showsState(page, /Succeeded|queue/)
  await closePage(page)
})

test("the page of a job that is not there says so", async () => {
  const page = await openPage(browser)
  await page.goto(`${stack.url}/j/nothing-has-this-id`)
  await page.getByRole("alert").first().waitFor()
  await page.context().close()
})

test("the page of a queue cancels a waiting job only when asked twice", async () => {
  const queue = stack.newQueue()
  const id = await stack.submit(shell("echo never"), queue)
  const page = await openPage(browser)
  await page.goto(`${stack.url}/q/${queue}`)
  await page.getByRole("button", { name: `Cancel job ${id.slice(0, 8)}` }).click()
  await page.getByRole("button", { name: "Keep it" }).click()
  assert.equal((await stack.get(`/q/${queue}/j/${id}`)).data.results.state, "Queued")
  await page.getByRole("button", { name: `Cancel job ${id.slice(0, 8)}` }).click()
  await page.getByRole("button", { name: "Cancel the job" }).click()
  await until(async () => (await stack.get(`/q/${queue}/j/${id}`)).data.results.finishedReason === "Cancelled", "the cancel")
  await closePage(page)
})

test("a queue of thousands of jobs is paged without filling the page", async () => {
  const queue = stack.newQueue()
  const sql = `select count(asman.enqueue('${queue}', jsonb_build_object('image', 'x', 'command', n::text))) from generate_series(1, 3000) n`
  execFileSync("psql", ["-q", "-d", process.env.DATABASE_URL, "-c", sql])
  const page = await openPage(browser)
  await page.goto(`${stack.url}/q/${queue}`)
  const table = page.getByRole("table", { name: "Jobs" })
  await table.getByRole("row").nth(5).waitFor()
  await until(async () => {
    await table.evaluate((element) => element.scrollTo(0, element.scrollHeight))
    return (await page.getByText("3,000 loaded").count()) > 0
  }, "the last page")
  assert.ok((await table.getByRole("row").count()) < 200)
  await closePage(page)
})
