/** The page of one job and the page of one queue. */
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { test } from "node:test"
import { IMAGE, closePage, idOf, openPage, press, shell, showsLog, showsState, until, useStack } from "./stack.mjs"

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

test("the page of a waiting job says why it waits, and cancels it when asked twice", async () => {
  const queue = stack.newQueue()
  const id = await stack.submit(shell("echo never", { requirements: { gpus: 1 } }), queue)
  const page = await openPage(browser)
  await page.goto(stack.page({ queue }, `/j/${id}`))
  await page.getByText("Position 1 of 1. No worker is connected to this queue.").waitFor()
  await page.getByText(`asman worker run ${queue.slice(0, 4)}`).waitFor()
  await stack.startWorker(queue)
  await page.getByText("no connected worker has enough gpus").waitFor()
  const cancel = page.getByRole("banner").getByRole("button", { name: "Cancel" })
  await cancel.click()
  await page.getByRole("button", { name: "Keep it" }).click()
  assert.equal((await stack.get(`/q/${queue}/j/${id}`)).data.results.state, "Queued")
  await cancel.click()
  await page.getByRole("button", { name: "Cancel the job" }).click()
  await page.getByRole("status").getByText("Cancelled").waitFor()
  assert.equal((await stack.get(`/q/${queue}/j/${id}`)).data.results.finishedReason, "Cancelled")
  await cancel.waitFor({ state: "detached" })
  await stack.stopWorker(`worker-${queue}`)
  await closePage(page)
})

test("the page of a job knows the queue that this browser sent it to, and asks others for the queue's key", async () => {
  const queue = stack.newQueue()
  const page = await openPage(browser)
  await page.goto(stack.page({ queue, job: shell(`echo ${queue}`) }))
  await press(page, "Run")
  await showsState(page, "Queued")
  const id = await idOf(page)
  await page.goto(`${stack.url}/j/${id}`)
  await page.getByText("No worker is connected to this queue").waitFor()
  const other = await openPage(browser)
  await other.goto(`${stack.url}/j/${id}`)
  await other.getByRole("status").getByText("The job waits for a worker.").waitFor()
  await other.getByRole("banner").getByRole("button", { name: "Cancel" }).click()
  const dialog = other.getByRole("dialog")
  const enter = async (name) => {
    await dialog.getByLabel("Key of the job's queue").fill(name)
    await dialog.getByRole("button", { name: "Use it" }).click()
  }
  await enter(stack.newQueue())
  await dialog.getByText("The queue of this name does not have the job").waitFor()
  await enter(queue)
  await other.getByRole("button", { name: "Cancel the job" }).click()
  for (const one of [page, other]) await one.getByRole("status").getByText("Cancelled").waitFor()
  assert.ok(!other.url().includes(queue))
  other.problems = other.problems.filter((problem) => !/404/.test(problem))
  await closePage(other)
  await closePage(page)
})

test("a cancel asks for the token that the queue wants", async () => {
  const queue = stack.newQueue()
  const token = "token-of-the-submitters-0123456789"
  const id = await stack.submit(shell("echo never"), queue)
  const policy = { ownerToken: "token-of-the-owner-0123456789", submitToken: token }
  const set = await fetch(`${stack.url}/q/${queue}/policy`, { method: "PUT", body: JSON.stringify(policy) })
  assert.equal(set.status, 200, await set.text())
  const page = await openPage(browser)
  await page.goto(stack.page({ queue }, `/j/${id}`))
  const cancel = async () => {
    await page.getByRole("banner").getByRole("button", { name: "Cancel" }).click()
    await page.getByRole("button", { name: "Cancel the job" }).click()
  }
  await cancel()
  await page.getByText("To cancel: ").waitFor()
  await page.getByLabel("Token of the queue").fill(token)
  await page.getByRole("button", { name: "Use it" }).click()
  await cancel()
  await page.getByRole("status").getByText("Cancelled").waitFor()
  page.problems = page.problems.filter((problem) => !/40[13]/.test(problem))
  await closePage(page)
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
  const job = "jsonb_build_object('image', 'x', 'command', n::text)"
  const sql = `select count(asman.enqueue('${queue}', ${job})) from generate_series(1, 3000) n`
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
