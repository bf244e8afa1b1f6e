/** Several tabs of the same link, of one browser and of two: they follow the same job, and see what any of them does. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { closePage, idOf, openPage, press, shell, showsLog, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()

const link = (job, more = {}) => stack.page({ queue: stack.queue, job, ...more })

/** Another tab of the same browser. */
async function openBeside(page) {
  const tab = await page.context().newPage()
  tab.problems = page.problems
  tab.setDefaultTimeout(30_000)
  tab.on("pageerror", (error) => tab.problems.push(String(error)))
  return tab
}

/** The same link in two tabs of one browser and in another browser. */
async function openThree(address) {
  const first = await openPage(browser)
  const pages = [first, await openBeside(first), await openPage(browser)]
  for (const page of pages) {
    await page.goto(address)
    await showsState(page, "Ready to run")
  }
  return pages
}

async function closeThree([first, , other]) {
  await closePage(first)
  await closePage(other)
}

const inAll = (pages, look) => Promise.all(pages.map(look))

test("a job that runs in one tab is followed by all, and its end is the same in all", async () => {
  const script = "for i in $(seq 1 20); do echo line $i; sleep 0.2; done; echo a > /outputs/a.txt; exit 4"
  const pages = await openThree(link(shell(script)))
  await press(pages[1], "Run")
  await inAll(pages, (page) => showsState(page, "Running"))
  await inAll(pages, (page) => showsLog(page, "line 5"))
  await inAll(pages, (page) => showsState(page, "Failed"))
  await inAll(pages, (page) => page.getByText("20 lines").first().waitFor())
  const history = (await stack.get(`/q/${stack.queue}/j/${await idOf(pages[0])}/history.json`)).data
  assert.equal(history.filter(({ state }) => state === "Running").length, 1)
  await closeThree(pages)
})

test("a stop in one tab is seen in the others, and any of them may run it again", async () => {
  const pages = await openThree(link(shell("echo begun; sleep 300")))
  await press(pages[0], "Run")
  await inAll(pages, (page) => showsLog(page, "begun"))
  await press(pages[2], "Stop")
  await inAll(pages, (page) => showsState(page, "Stopped"))
  const id = await idOf(pages[0])
  const reason = async () => (await stack.get(`/q/${stack.queue}/j/${id}`)).data.results.finishedReason
  await until(async () => (await reason()) === "Cancelled", "the cancel in the database")
  await press(pages[1], "Run")
  await inAll(pages, (page) => showsState(page, "Running"))
  await inAll(pages, (page) => showsLog(page, "begun"))
  await press(pages[0], "Stop")
  await inAll(pages, (page) => showsState(page, "Stopped"))
  await closeThree(pages)
})

test("a result that is cleared in one tab is cleared in the others, after a reload too", async () => {
  const pages = await openThree(link(shell("echo to be cleared; echo a > /outputs/a.txt")))
  await press(pages[0], "Run")
  await inAll(pages, (page) => showsState(page, "Succeeded"))
  await inAll(pages, (page) => showsLog(page, "to be cleared"))
  await press(pages[1], "More")
  await pages[1].getByRole("menuitem", { name: "Clear result" }).click()
  const isCleared = async (page) => {
    await showsState(page, "Ready to run")
    await page.getByText("Its result was cleared.").waitFor()
    await page.getByText("Press Run: the job's output appears here.").waitFor()
  }
  await inAll(pages, isCleared)
  await pages[2].reload()
  await showsState(pages[2], "Ready to run")
  await press(pages[2], "Run")
  await inAll(pages, (page) => showsState(page, "Succeeded"))
  await inAll(pages, (page) => showsLog(page, "to be cleared"))
  await closeThree(pages)
})

test("two tabs that start by themselves run the job once", async () => {
  const address = link(shell("echo by itself; sleep 1"), { autostart: true })
  const pages = [await openPage(browser), await openPage(browser)]
  await inAll(pages, (page) => page.goto(address))
  await inAll(pages, (page) => showsState(page, "Succeeded"))
  await inAll(pages, (page) => showsLog(page, "by itself"))
  const history = (await stack.get(`/q/${stack.queue}/j/${await idOf(pages[0])}/history.json`)).data
  assert.equal(history.filter(({ state }) => state === "Running").length, 1, JSON.stringify(history))
  await inAll(pages, closePage)
})

test("a job that is run anew in one tab gives the other its new result, after a reload too", async () => {
  const first = await openPage(browser)
  const other = await openPage(browser)
  for (const page of [first, other]) await page.goto(link(shell("date +%s; cat /proc/uptime")))
  await press(first, "Run")
  await inAll([first, other], (page) => showsState(page, "Succeeded"))
  const before = (await stack.get(`/j/${await idOf(first)}.json`)).data.results.queuedTime
  await press(other, "Run again")
  await until(async () => {
    const record = (await stack.get(`/j/${await idOf(first)}.json`))?.data.results
    return record?.finishedReason === "Success" && record.queuedTime !== before
  }, "the second run")
  const log = (await stack.finished(await idOf(first))).finished.result.logs.map(([text]) => text.trim())
  await inAll([first, other], (page) => showsLog(page, log.at(-1)))
  await inAll([first, other], (page) => showsState(page, "Succeeded"))
  await first.reload()
  await showsState(first, "Succeeded")
  await showsLog(first, log.at(-1))
  await inAll([first, other], closePage)
})

test("while the result of a finished job is on its way, the page neither says that it runs nor offers to stop it", async () => {
  const job = shell("echo long since ended")
  const page = await openPage(browser)
  let release
  const held = new Promise((resolve) => (release = resolve))
  await page.route(/\/result\.json$/, async (route) => (await held, route.continue()))
  await page.goto(link(job))
  await press(page, "Run")
  await showsState(page, "Loading the result", { timeout: 60_000 })
  assert.equal(await page.locator("header").getByRole("button", { name: "Stop" }).count(), 0)
  release()
  await showsState(page, "Succeeded")
  await showsLog(page, "long since ended")
  await closePage(page)
})
