/** What a person does with the page, from the first visit to a log of 100,000 lines. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  IMAGE, choose, closePage, idOf, openPage, openTab, press, readLog, shell, showsLog, showsState, until, useStack,
} from "./stack.mjs"

const { stack, browser } = await useStack()

async function open(parameters, options) {
  const page = await openPage(browser, options)
  await page.goto(stack.page({ queue: stack.queue, ...parameters }))
  return page
}

test("a link with a job runs it, and shows its log and its files", async () => {
  const page = await open({ job: shell("echo out; echo err >&2; echo a,b > /outputs/t.csv; echo 1,2 >> /outputs/t.csv; exit 3") })
  await showsState(page, "Ready to run")
  await press(page, "Run")
  await showsState(page, "Failed")
  await showsLog(page, "err")
  assert.match(await page.locator("header").innerText(), /exit code 3/)
  await page.getByRole("region", { name: "Outputs" }).getByRole("button", { name: /t\.csv/ }).first().waitFor()
  await page.getByRole("cell", { name: "2" }).waitFor()
  await closePage(page)
})

test("who reloads the page of a finished job sees its result without running it", async () => {
  const page = await open({ job: shell("echo once > /outputs/once; date +%s%N") })
  await press(page, "Run")
  await showsState(page, "Succeeded")
  const before = await readLog(page)
  await page.reload()
  await showsState(page, "Succeeded")
  await showsLog(page, before.trim())
  await closePage(page)
})

test("an edited file makes another job, and Run again runs the same one anew", async () => {
  const page = await open({ job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: { "main.sh": "echo first\n" } })
  await press(page, "Run")
  await showsLog(page, "first")
  const first = await idOf(page)
  await openTab(page, /Files/)
  await page.locator(".cm-content").click()
  await page.keyboard.press("Control+A")
  await page.keyboard.type("cat /proc/uptime; echo second\n")
  await press(page, "Save and run")
  await showsLog(page, "second")
  await showsState(page, "Succeeded")
  assert.notEqual(await idOf(page), first)
  const one = await readLog(page)
  await press(page, "Run again")
  const isOther = async () => (await readLog(page)) !== one && (await readLog(page)).includes("second")
  await until(isOther, "another log of the same job")
  await showsState(page, "Succeeded")
  await closePage(page)
})

test("Stop ends the job and its container, in a namespace of its own too", async () => {
  const page = await open({ job: shell("echo begun; sleep 300"), control: { namespace: "somebody" } })
  await press(page, "Run")
  await showsLog(page, "begun")
  const id = await idOf(page)
  await press(page, "Stop")
  await showsState(page, "Stopped")
  const reason = async () => (await stack.get(`/q/${stack.queue}/j/${id}`))?.data.results?.finishedReason
  await until(async () => (await reason()) === "Cancelled", "the cancel in the database")
  await closePage(page)
})

test("without a worker the page says so, and the job runs when one arrives", async () => {
  const queue = stack.newQueue()
  const page = await open({ queue, job: shell("echo at last") })
  await press(page, "Run")
  await showsState(page, "Queued")
  await until(async () => /no worker/i.test(await page.locator("header").innerText()), "the reason why it waits")
  await page.getByRole("region", { name: "Log" }).getByText("asman worker run test").waitFor()
  await stack.startWorker(queue, "late")
  await showsState(page, "Succeeded")
  await showsLog(page, "at last")
  await stack.stopWorker("late")
  await closePage(page)
})

test("an API that dies and comes back costs no line and no result", async () => {
  const page = await open({ job: shell("for i in $(seq 1 60); do echo line $i; sleep 0.2; done") })
  await press(page, "Run")
  await showsLog(page, "line 3")
  await stack.killApi()
  await page.locator("footer").getByText(/reconnect|lost/i).first().waitFor()
  await stack.startApi()
  await showsState(page, "Succeeded")
  await showsLog(page, "line 60")
  await page.getByText("60 lines").first().waitFor()
  // The browser itself says that connections failed.
  page.problems = page.problems.filter((problem) => !/ERR_|WebSocket|Failed to load/.test(problem))
  await closePage(page)
})

test("a log of 100,000 lines is held, searched and left in bounded memory", async () => {
  const page = await open({ job: shell("seq 1 100000") })
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await page.getByText("100,000 lines").first().waitFor()
  await page.keyboard.press("/")
  await page.getByRole("searchbox", { name: "Search for" }).fill("77777")
  await page.getByText("1 of 1").waitFor()
  await showsLog(page, "77777")
  const bytes = await page.evaluate(() => (gc(), performance.memory.usedJSHeapSize))
  console.log(`heap after 100,000 lines: ${(bytes / 2 ** 20).toFixed(1)} MiB`)
  assert.ok(bytes < 150 * 2 ** 20, `${bytes} bytes`)
  await closePage(page)
})

test("a link that cannot be read costs the parameter, not the page", async () => {
  const page = await openPage(browser)
  await page.goto(`${stack.url}/#?job=%%%25&queue=${stack.queue}&inputs=bm90IGpzb24&control=e30&definition=W10`)
  await page.getByText(/job/i).first().waitFor()
  const problem = page.getByRole("alert").or(page.getByRole("listitem"))
  await problem.filter({ hasText: /could not be read|cannot be read|not be read/i }).first().waitFor()
  await closePage(page)
})

test("a file of 200 MB is uploaded without being held in memory, and the job gets it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "asman-upload-"))
  const path = join(folder, "big.bin")
  const file = openSync(path, "w")
  writeSync(file, `not all zero: ${folder}`)
  ftruncateSync(file, 200_000_000)
  closeSync(file)
  const page = await open({ job: { image: IMAGE, command: "wc -c /inputs/big.bin" } })
  await openTab(page, /Files/)
  await choose(page, path)
  await page.getByText("/inputs/big.bin", { exact: true }).waitFor()
  await press(page, "Run")
  await page.locator("header [role=status]", { hasText: "Succeeded" }).waitFor({ timeout: 90_000 })
  await showsLog(page, "200000000 /inputs/big.bin")
  const bytes = await page.evaluate(() => (gc(), performance.memory.usedJSHeapSize))
  assert.ok(bytes < 100 * 2 ** 20, `${bytes} bytes`)
  rmSync(folder, { recursive: true })
  await closePage(page)
})
