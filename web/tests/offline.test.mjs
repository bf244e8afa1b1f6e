/** A browser that loses its network, and finds it again: what was asked for meanwhile is done, and what happened is seen. */
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { openProxy } from "./proxy.mjs"
import { IMAGE, closePage, idOf, openPage, openTab, press, shell, showsLog, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()
const proxy = await openProxy(stack.port)
after(() => proxy.close())

/** Longest until a page is connected again once there is a network. */
const BACK_MS = 5_000

const says = (page, text, options) => page.locator("footer").getByText(text).waitFor(options)
const isOfNetwork = (problem) => /ERR_|WebSocket|Failed to load/.test(problem)

async function open(parameters) {
  const page = await openPage(browser)
  await page.goto(stack.page({ queue: stack.queue, ...parameters }).replace(stack.url, proxy.url))
  await showsState(page, "Ready to run")
  await says(page, "Connected")
  return page
}

/** No request leaves the browser any more; the sockets that are open end, as they do when a network goes. */
async function goOffline(page) {
  await page.context().setOffline(true)
  proxy.cutSockets()
  await says(page, "Reconnecting…")
}

async function close(page) {
  page.problems = page.problems.filter((problem) => !isOfNetwork(problem))
  await closePage(page)
}

test("a job that ends while the browser is offline is shown with all its lines when it is back", async () => {
  const page = await open({ job: shell("for i in $(seq 1 20); do echo line $i; sleep 0.2; done; echo a,b > /outputs/t.csv") })
  await press(page, "Run")
  await showsLog(page, "line 2")
  await goOffline(page)
  await stack.finished(await idOf(page))
  await showsState(page, "Running")
  await page.context().setOffline(false)
  await says(page, "Connected", { timeout: BACK_MS })
  await showsState(page, "Succeeded")
  await page.getByText("20 lines").first().waitFor()
  await page.getByRole("region", { name: "Outputs" }).getByRole("button", { name: "t.csv", exact: true }).waitFor()
  await close(page)
})

test("a run that is asked for offline, with a file to be sent, begins once there is a network", async () => {
  const text = `echo sent later\n# ${"x".repeat(300)}\n`
  const page = await open({ job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: { "main.sh": text } })
  await goOffline(page)
  await press(page, "Run")
  await showsState(page, "Uploading files")
  await page.locator("header .why", { hasText: "Waiting for the connection to the server" }).waitFor()
  await page.context().setOffline(false)
  await showsState(page, "Succeeded")
  await showsLog(page, "sent later")
  await close(page)
})

test("a stop that is asked for offline is done later, and edits and panels work meanwhile", async () => {
  const page = await open({ job: shell("echo begun; sleep 300"), inputs: { "a.txt": "text" } })
  await press(page, "Run")
  await showsLog(page, "begun")
  await goOffline(page)
  const id = await idOf(page)
  for (const tab of ["Settings", "Outputs", "Queue", "History", "Files"]) {
    await openTab(page, new RegExp(`^${tab}`))
    await page.getByRole("tabpanel").first().waitFor()
  }
  await page.getByLabel("Text of a.txt").fill("edited offline")
  await press(page, "Stop")
  await showsState(page, "Stopped")
  assert.equal((await stack.get(`/q/${stack.queue}/j/${id}`)).data.results.state, "Running")
  await page.context().setOffline(false)
  const reason = async () => (await stack.get(`/q/${stack.queue}/j/${id}`)).data.results.finishedReason
  await until(async () => (await reason()) === "Cancelled", "the cancel in the database")
  await page.getByRole("tab", { name: "a.txt" }).getByText("not saved").waitFor({ state: "attached" })
  await showsState(page, "Stopped")
  await close(page)
})

test("a page that stayed offline for long is back soon after its network is", async () => {
  const page = await open({ job: shell("echo after a while") })
  let nTries = 0
  page.on("websocket", () => nTries++)
  await goOffline(page)
  await until(() => nTries >= 4, "waits between tries that are long by now")
  await page.context().setOffline(false)
  await says(page, "Connected", { timeout: BACK_MS })
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await showsLog(page, "after a while")
  await close(page)
})
