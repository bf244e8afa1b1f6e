/** A network that fails: a socket that is cut each second, an API that answers 503 for a while. No line and no job is lost. */
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { openProxy } from "./proxy.mjs"
import { IMAGE, closePage, idOf, openPage, press, shell, showsLog, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()
const proxy = await openProxy(stack.port)
after(() => proxy.close())

const CUT_MS = 1_000
const N_LINES = 200
/** Lines that a job of 0.15 s a line has written after some twenty seconds. */
const N_LINES_FLAPPING = 135
const HEAP_GROWTH_MAX = 10 * 2 ** 20

/** What the browser itself says of connections that fail. */
const isOfNetwork = (problem) => /ERR_|WebSocket|Failed to load|503/.test(problem)

/** Opens a link through the proxy, in a page that counts its timers and remembers whether it ever was blank. */
async function open(parameters) {
  const page = await openPage(browser, { permissions: ["clipboard-read", "clipboard-write"] })
  await page.addInitScript(() => {
    const timers = (globalThis.timers = new Set())
    const { setTimeout: begin, clearTimeout: end } = globalThis
    globalThis.setTimeout = (work, ...rest) => {
      const timer = begin((...values) => (timers.delete(timer), work(...values)), ...rest)
      timers.add(timer)
      return timer
    }
    globalThis.clearTimeout = (timer) => (timers.delete(timer), end(timer))
  })
  page.nRequests = 0
  page.on("request", () => page.nRequests++)
  await page.goto(stack.page({ queue: stack.queue, ...parameters }).replace(stack.url, proxy.url))
  await showsState(page, "Ready to run")
  await page.locator("footer").getByText("Connected").waitFor()
  await page.evaluate(() => {
    globalThis.wasBlank = false
    const look = () => (globalThis.wasBlank ||= !document.querySelector("header [role=status]")?.textContent)
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true })
  })
  return page
}

async function close(page) {
  assert.equal(await page.evaluate(() => globalThis.wasBlank), false)
  page.problems = page.problems.filter((problem) => !isOfNetwork(problem))
  await closePage(page)
}

const says = (page, text) => page.locator("footer").getByText(text).waitFor()

/** Bytes of the page's heap, its pending timers and its WebSocket objects, after garbage collection. */
async function weigh(page) {
  const session = await page.context().newCDPSession(page)
  const prototype = await session.send("Runtime.evaluate", { expression: "gc(), WebSocket.prototype", objectGroup: "weighed" })
  const query = { prototypeObjectId: prototype.result.objectId, objectGroup: "weighed" }
  const { objects } = await session.send("Runtime.queryObjects", query)
  const list = await session.send("Runtime.getProperties", { objectId: objects.objectId, ownProperties: true })
  await session.send("Runtime.releaseObjectGroup", { objectGroup: "weighed" })
  await session.detach()
  const nSockets = list.result.filter(({ name }) => /^\d+$/.test(name)).length
  const rest = await page.evaluate(() => ({ heap: (gc(), performance.memory.usedJSHeapSize), nTimers: globalThis.timers.size }))
  return { ...rest, nSockets }
}

/** The whole log, by the button that copies it. */
async function copyLog(page) {
  await page.getByRole("button", { name: "Copy the log" }).click()
  return (await page.evaluate(() => navigator.clipboard.readText())).split("\n")
}

const lines = (n) => Array.from({ length: n }, (_, i) => `line ${i + 1}`)
const nLinesOf = async (id) => (await stack.get(`/q/${stack.queue}/j/${id}/run-logs.json`))?.data.length ?? 0

test("a socket that is cut every second costs no line, no job and no memory", async () => {
  const page = await open({ job: shell(`for i in $(seq 1 ${N_LINES}); do echo line $i; sleep 0.15; done`) })
  const before = await weigh(page)
  const [nRequestsBefore, nSocketsBefore] = [page.nRequests, proxy.nSockets]
  const cutting = setInterval(() => proxy.cutSockets(), CUT_MS)
  try {
    await press(page, "Run")
    await says(page, "Reconnecting…")
    const id = await idOf(page)
    await until(async () => (await nLinesOf(id)) >= N_LINES_FLAPPING, "a job of twenty seconds")
  } finally {
    clearInterval(cutting)
  }
  const nSockets = proxy.nSockets - nSocketsBefore
  await says(page, "Connected")
  const seen = await until(async () => {
    const log = await copyLog(page)
    return log.length > N_LINES_FLAPPING ? log : undefined
  }, "the lines of while it was cut off")
  await showsState(page, "Running")
  assert.deepEqual(seen, lines(seen.length))
  const flapped = await weigh(page)
  const nRequests = page.nRequests - nRequestsBefore
  console.log(`sockets ${nSockets}, requests ${nRequests}, before ${JSON.stringify(before)}, after ${JSON.stringify(flapped)}`)
  assert.ok(nSockets >= 2 && nSockets <= 15, `${nSockets} sockets`)
  assert.ok(proxy.nSocketsMost <= 2, `${proxy.nSocketsMost} sockets at a time`)
  assert.ok(nRequests <= 100, `${nRequests} requests`)
  assert.ok(flapped.nSockets <= 2, `${flapped.nSockets} socket objects`)
  assert.ok(flapped.nTimers <= before.nTimers + 5, `${before.nTimers} timers became ${flapped.nTimers}`)
  assert.ok(flapped.heap - before.heap < HEAP_GROWTH_MAX, `${before.heap} bytes became ${flapped.heap}`)
  await showsState(page, "Succeeded")
  await page.getByText(`${N_LINES} lines`).first().waitFor()
  assert.deepEqual(await copyLog(page), lines(N_LINES))
  const runs = (await stack.get(`/q/${stack.queue}/j/${await idOf(page)}/history.json`)).data
  assert.equal(runs.filter(({ state }) => state === "Queued").length, 1, JSON.stringify(runs))
  await close(page)
})

test("an API that answers 503 for a while gets the job, its large file and its log afterwards", async () => {
  const text = `echo begun\n# ${"x".repeat(300)}\nfor i in $(seq 1 40); do echo line $i; sleep 0.2; done\n`
  const page = await open({ job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: { "main.sh": text } })
  proxy.fallIll()
  await says(page, "Reconnecting…")
  await press(page, "Run")
  await showsState(page, "Uploading files")
  await until(() => proxy.nRefused >= 5, "some answers of 503")
  proxy.recover()
  await showsState(page, "Running")
  await showsLog(page, "line 3")
  proxy.fallIll()
  await says(page, "Reconnecting…")
  const nRefused = proxy.nRefused
  await until(() => proxy.nRefused >= nRefused + 5, "further answers of 503")
  await showsState(page, "Running")
  proxy.recover()
  await says(page, "Connected")
  await showsState(page, "Succeeded")
  await page.getByText("41 lines").first().waitFor()
  assert.deepEqual(await copyLog(page), ["begun", ...lines(40)])
  await close(page)
})
