/** The page in a frame, and odd links: the parent's queue, names of queues, fragments changed from outside, broken ones. */
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { openParent, serveParents } from "./parent.mjs"
import { closePage, idOf, openPage, openTab, press, shell, showsLog, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()
const parents = await serveParents()
after(() => parents.close())

const isOfNetwork = (problem) => /ERR_|WebSocket|Failed to load/.test(problem)
const connected = (page) => page.locator("footer").getByText("Connected").waitFor()
const stateIn = async (queue, id) => (await stack.get(`/q/${queue}/j/${id}`))?.data.results?.state

test("a parent's queue is used until it is unlocked, and again when it is locked", async () => {
  const own = stack.newQueue()
  const job = shell("echo in the parents queue")
  const parent = await openParent(browser, parents, "1.10.10", stack.page({ queue: own, queueOverride: stack.queue, job }))
  const frame = parent.page.frameLocator("iframe")
  await connected(frame)
  await press(frame, "Run")
  await showsState(frame, "Succeeded")
  const id = await idOf(frame)
  assert.deepEqual([await stateIn(stack.queue, id), await stateIn(own, id)], ["Finished", undefined])
  await openTab(frame, /Queue/)
  assert.equal(await frame.getByRole("button", { name: "Change" }).count(), 0)
  await frame.getByRole("button", { name: "Set by the metapage: unlock" }).click()
  await showsState(frame, "Ready to run")
  await frame.getByRole("button", { name: "Change" }).waitFor()
  const kept = async () => (await parent.urls()).at(-1)
  await until(async () => (await kept())?.includes("ignoreQueueOverride=true"), "the choice in the parent's address")
  await press(frame, "Run")
  await showsState(frame, "Queued")
  assert.equal(await stateIn(own, id), "Queued")
  await press(frame, "Stop")
  await frame.getByRole("button", { name: "Use the metapage's queue" }).click()
  await showsState(frame, "Succeeded")
  await until(async () => !(await kept()).includes("ignoreQueueOverride"), "the address without the choice")
  await closePage(parent.page)
})

test("a queue that is an address is used, in a browser and in a frame", async () => {
  for (const queue of [`${stack.url}/${stack.queue}`, `${stack.url}/q/${stack.queue}`, `${stack.url}/q/${stack.queue}/`]) {
    const page = await openPage(browser)
    await page.goto(stack.page({ queue, job: shell(`echo at ${queue.length}`) }))
    await connected(page)
    await press(page, "Run")
    await showsState(page, "Succeeded")
    assert.equal(await stateIn(stack.queue, await idOf(page)), "Finished")
    await closePage(page)
  }
})

/** Unusual names that a server accepts, and names that servers refuse, with the page's sentences. */
const TAKEN = [
  "ü 世界", "a b", "a%2Fb", "100%", "a?b#c&d=e", "<img src=x onerror=alert(1)>", "-rf", "__proto__", "client", "\u202egnp",
  "...", "x".repeat(255),
]
const NO_ADDRESS = /address of a queue/
const REFUSED = {
  "a/b": /slash/, "/": /slash/, "ftp://x/y": /slash/, "javascript:alert(1)//": /slash/, [`${stack.url}/a%2Fb`]: /slash/,
  ".": /one or two dots/, "..": /one or two dots/, "a\nb": /control/, "a\0b": /control/,
  "http://": NO_ADDRESS, "https:///": NO_ADDRESS, "http://[bad/q": NO_ADDRESS, [`${stack.url}/`]: NO_ADDRESS,
  [`${stack.url}/q/%2e%2e`]: NO_ADDRESS, ["x".repeat(256)]: /255 characters/, ["x".repeat(3_000)]: /2048 characters/,
}

test("odd names of queues are used, and the page of such a queue opens", async () => {
  const page = await openPage(browser)
  for (const name of TAKEN) {
    await page.goto("about:blank")
    await page.goto(stack.page({ queue: name, job: shell("true") }))
    await connected(page).catch((error) => { throw new Error(`${name}: ${error.message}`) })
    assert.equal(await page.getByRole("alert").count(), 0, name)
    await press(page, "Run")
    await showsState(page, "Queued")
    assert.equal(await stateIn(encodeURIComponent(name), await idOf(page)), "Queued", name)
    await page.goto(`${stack.url}/q/${encodeURIComponent(name)}`)
    await page.getByRole("table", { name: "Jobs" }).waitFor()
  }
  await closePage(page)
})

test("names of queues that no server takes are refused with a sentence, and the page stays", async () => {
  const page = await openPage(browser)
  for (const [name, sentence] of Object.entries(REFUSED)) {
    await page.goto("about:blank")
    await page.goto(stack.page({ queue: name, job: shell("true") }))
    const told = page.getByRole("alert").filter({ hasText: sentence }).first().waitFor()
    await told.catch((error) => { throw new Error(`${JSON.stringify(name.slice(0, 50))}: ${error.message}`) })
    await page.locator("header").getByRole("button", { name: "Choose a queue" }).waitFor()
  }
  await page.goto("about:blank")
  await page.goto(`${stack.url}/#?queue=%2F&job=e30`)
  await page.getByRole("alert").filter({ hasText: /slash/i }).waitFor()
  await closePage(page)
})

test("a fragment that is changed while a job runs shows the other job, and the first one on the way back", async () => {
  const page = await openPage(browser)
  const slow = stack.page({ queue: stack.queue, job: shell("for i in $(seq 1 15); do echo slow $i; sleep 0.3; done") })
  const quick = stack.page({ queue: stack.queue, job: shell("echo quick") })
  const go = (address) => page.evaluate((url) => { location.href = url }, address)
  await page.goto(slow)
  await press(page, "Run")
  await showsLog(page, "slow 2")
  const first = await idOf(page)
  await go(quick)
  await showsState(page, "Ready to run")
  await until(async () => (await page.getByText("slow", { exact: false }).count()) === 0, "nothing of the other job is left")
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await showsLog(page, "quick")
  await page.goBack()
  await showsLog(page, "slow 5")
  assert.equal(await idOf(page), first)
  await showsState(page, "Succeeded")
  await page.getByText("15 lines").first().waitFor()
  await go(`${stack.url}/#?`)
  await page.getByRole("heading", { name: "Run a container job" }).waitFor()
  await closePage(page)
})

const b64 = (text) => encodeURIComponent(btoa(text))
const BROKEN_JSON = [
  "%zz", "%", "bm90IGpzb24", "", "null", b64("[]"), b64("null"), b64("\"text\""), b64("{"), b64("\xff\xfe"),
  b64("[".repeat(50_000)), b64("%7B%22"), "\u0000", "🚀",
]
const BROKEN = {
  job: [...BROKEN_JSON, ...['{"image":{}}', '{"image":"x","command":7}', '{"image":"x","inputs":{"a":1}}'].map(b64)],
  inputs: [...BROKEN_JSON, b64('{"a":1}'), b64('{"a":{"b":"c"}}')],
  control: [...BROKEN_JSON, b64('{"namespace":7}')],
  definition: [...BROKEN_JSON, b64('{"inputs":7}')],
}
const HARMLESS = {
  autostart: ["TRUE", "1", "%zz"], allowsetjob: ["yes"], resolverefs: ["%"], terminal: ["x"], debug: ["%E0%A4"],
  ignoreQueueOverride: ["{}"], queueOverride: ["%zz", "", "nobody else"], maxJobDuration: ["soon", "-1", "%", "9e99h"],
  config: ["%zz", "x"], hm: ["%"], "": ["x"], "%zz": ["x"], ["__proto__"]: ["x"], constructor: ["x"],
}

test("each parameter that is broken costs itself, and is named", async () => {
  const page = await openPage(browser)
  const good = { queue: stack.queue, job: shell("true"), inputs: { "a.txt": "text" } }
  for (const [name, values] of Object.entries(BROKEN)) {
    for (const value of values) {
      const { [name]: _, ...others } = good
      await page.goto("about:blank")
      await page.goto(`${stack.page(others)}&${name}=${value}`)
      const told = page.getByRole("alert").filter({ hasText: `The parameter ${name} of the link cannot be read` }).waitFor()
      await told.catch((error) => { throw new Error(`${name}=${value.slice(0, 80)}: ${error.message}`) })
      await page.locator("header [role=status]").first().waitFor()
      if (name !== "job") await showsState(page, "Ready to run")
    }
  }
  await closePage(page)
})

test("unusual values that are not JSON, and unusual names of parameters, leave the job as it is", async () => {
  const page = await openPage(browser)
  for (const [name, values] of Object.entries(HARMLESS)) {
    for (const value of values) {
      await page.goto("about:blank")
      await page.goto(`${stack.page({ queue: stack.queue, job: shell("true") })}&${name}=${value}`)
      await showsState(page, "Ready to run").catch((error) => { throw new Error(`${name}=${value}: ${error.message}`) })
    }
  }
  page.problems = page.problems.filter((problem) => !isOfNetwork(problem))
  await closePage(page)
})
