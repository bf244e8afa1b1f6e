/** A local API: pages of strangers cannot use it through the browser. */
import assert from "node:assert/strict"
import { once } from "node:events"
import { createServer } from "node:http"
import { after, test } from "node:test"
import { openParent, serveParents } from "./parent.mjs"
import { closePage, openPage, openTab, press, shell, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack({ local: true })
const parents = await serveParents()
after(() => parents.close())

/** A page of a stranger, on an origin of its own. */
const stranger = createServer((request, response) => {
  const html = decodeURIComponent(new URL(request.url, "http://x").searchParams.get("html") ?? "")
  response.writeHead(200, { "Content-Type": "text/html" }).end(`<!doctype html><meta charset="utf-8"><title>Stranger</title>${html}`)
})
stranger.listen(0, "127.0.0.1")
await once(stranger, "listening")
after(() => {
  stranger.closeAllConnections()
  stranger.close()
})

/** Opens the stranger's page with this in its body. */
async function openStranger(html) {
  const page = await openPage(browser)
  await page.goto(`http://127.0.0.1:${stranger.address().port}/?html=${encodeURIComponent(encodeURIComponent(html))}`)
  return page
}

const link = (job, more = {}) => stack.page({ job, queue: stack.queue, autostart: "true", allowsetjob: "true", ...more })
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;")
const frame = (address, style) => `<iframe src="${escaped(address)}" style="width: 900px; height: 600px; ${style}"></iframe>`

/** Waits until the page knows its job and its queue is connected, so that it would have done everything automatic. */
async function isQuiet(page, context) {
  await showsState(page, "Ready to run")
  // Another job goes the whole way meanwhile, which takes longer than an automatic start waits for the server.
  const id = await stack.submit(shell(`echo ${context} $RANDOM; sleep 2`))
  await stack.finished(id)
  const jobs = Object.keys((await stack.get(`/q/${stack.queue}`)).data)
  assert.deepEqual(jobs.filter((other) => !known.has(other) && other !== id), [], `${context}: a job runs that the user did not start`)
  known.add(id)
}
const known = new Set()

test("an invisible frame runs nothing, even when it is clicked", async () => {
  for (const style of ["opacity: 0", "width: 1px; height: 1px", "position: absolute; left: -2000px"]) {
    const page = await openStranger(frame(link(shell(`echo hidden ${style.length}`)), style))
    const inner = page.frameLocator("iframe")
    await isQuiet(inner, style)
    await inner.locator("header").getByRole("button", { name: "Open to run" }).evaluate((button) => button.click())
    await inner.locator("body").evaluate(() => dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true })))
    // The smallest of them has no room for a word.
    const said = inner.locator("[role=alert]", { hasText: "from within a frame" })
    if (!style.includes("1px")) await said.waitFor({ state: "attached" })
    await isQuiet(inner, style)
    await page.context().close()
  }
})

test("a visible frame says what wants to run and for whom, runs nothing, and gets the outputs of the window that it opens", async () => {
  const parent = await openParent(browser, parents, "1.10.10", link(shell("cat /inputs/a.txt > /outputs/b.txt")))
  const inner = parent.page.frameLocator("iframe")
  await until(async () => (await parent.seen()).includes("SetupIframeServerResponseAck"), "the handshake")
  await parent.send({ "a.txt": "from the parent ".repeat(100) })
  const note = inner.locator("[role=note]", { hasText: "wants to run" })
  await note.waitFor()
  const text = await note.innerText()
  assert.ok(text.includes("asman-test/busybox") && text.includes(parents.url), text)
  await isQuiet(inner, "seen")
  if (process.env.SHOTS) await parent.page.screenshot({ path: `${process.env.SHOTS}/frame.png` })
  const opened = parent.page.context().waitForEvent("page")
  await inner.locator("header").getByRole("button", { name: "Open to run" }).click()
  const own = await opened
  await showsState(own, "Ready to run")
  await isQuiet(own, "opened")
  if (process.env.SHOTS) await own.screenshot({ path: `${process.env.SHOTS}/window.png` })
  assert.equal(await own.locator("[role=note]", { hasText: "asks to run at once" }).count(), 1)
  await press(own, "Run")
  await showsState(own, "Succeeded")
  known.add(await own.locator("header .id").getAttribute("data-id"))
  await showsState(inner, "Succeeded")
  await until(async () => (await parent.outputs())["b.txt"] !== undefined, "the outputs at the parent")
  await parent.close()
})

test("a parent that sets job and inputs runs nothing", async () => {
  const parent = await openParent(browser, parents, "1.10.10", link(shell("echo first")))
  const inner = parent.page.frameLocator("iframe")
  await until(async () => (await parent.seen()).includes("SetupIframeServerResponseAck"), "the handshake")
  for (let n = 0; n < 3; n++) {
    await parent.send({ job: JSON.stringify(shell(`echo set by the parent ${n}`)), "a.txt": "x".repeat(1_000 + n) })
    await inner.locator("[role=note]", { hasText: `set by the parent ${n}` }).waitFor()
  }
  await isQuiet(inner, "set")
  await parent.close()
})

test("a link from another site runs nothing before Run is pressed, and the stranger cannot reach its window", async () => {
  const address = link(shell("echo linked"))
  const page = await openStranger(`<a id="link" href="${escaped(address)}">a cat</a>`)
  await page.click("#link")
  await isQuiet(page, "linked")
  await press(page, "Run")
  await showsState(page, "Succeeded")
  known.add(await page.locator("header .id").getAttribute("data-id"))
  await closePage(page)

  const other = await openStranger("<button>a game</button>")
  const opened = other.context().waitForEvent("page")
  await other.evaluate((url) => { globalThis.popup = window.open(url) }, address)
  await showsState(await opened, "Succeeded")
  assert.equal(await other.evaluate(() => globalThis.popup.closed), true, "the stranger has no handle on the window")
  await other.context().close()
})

test("a press counts only when the window has been in front for a moment", async () => {
  const page = await openPage(browser)
  await page.goto(link(shell("echo at once")))
  await showsState(page, "Ready to run")
  const header = page.locator("header")
  await header.getByRole("button", { name: "Run", exact: true }).evaluate((button) => {
    dispatchEvent(new Event("focus"))
    button.click()
  })
  await page.locator("[role=alert]", { hasText: "only just come to the front" }).waitFor()
  await until(async () => {
    await header.getByRole("button", { name: "Run", exact: true }).click({ timeout: 500 }).catch(() => {})
    return header.locator("[role=status]", { hasText: "Ready to run" }).isHidden()
  }, "a press that counts")
  await showsState(page, "Succeeded")
  known.add(await page.locator("header .id").getAttribute("data-id"))
  await closePage(page)
})

test("pages of jobs and of queues are in no frame", async () => {
  for (const path of [`/q/${stack.queue}`, "/j/some-id"]) {
    const page = await openStranger(frame(`${stack.url}${path}`, ""))
    await until(() => page.problems.some((said) => said.includes("frame-ancestors")), `${path} is refused`)
    await page.context().close()
  }
})

/** What a stranger's page gets of this machine, by a request and by a socket. */
function reach(page) {
  return page.evaluate(async ([url, queue]) => {
    const status = await fetch(`${url}/q/${queue}`).then((answer) => answer.status, () => "nothing")
    const socket = new WebSocket(`${url.replace("http", "ws")}/q/${queue}/client`)
    const opened = await new Promise((resolve) => {
      socket.onmessage = () => resolve("messages")
      socket.onerror = socket.onclose = () => resolve("nothing")
    })
    globalThis.socket = socket
    return [status, opened]
  }, [stack.url, stack.queue])
}

test("a page elsewhere uses this machine once the person here has let it in, and no more when that is taken back", async () => {
  const page = await openStranger("<h1>Elsewhere</h1>")
  const origin = new URL(page.url()).origin
  assert.deepEqual(await reach(page), ["nothing", "nothing"])
  const client = await openPage(browser)
  await client.goto(stack.page({ queue: stack.queue }))
  await openTab(client, /Queue/)
  const [own] = await Promise.all([client.context().waitForEvent("page"),
    client.getByRole("link", { name: "Pages of other origins that may use this machine" }).click()])
  await own.getByRole("link", { name: origin }).click()
  assert.ok((await own.locator("form").first().innerText()).includes(`Pages of ${origin} ask to use this machine`))
  const button = own.getByRole("button", { name: "Allow its pages" })
  await button.click()
  assert.deepEqual(await reach(page), ["nothing", "nothing"], "one act is not enough")
  await own.getByRole("checkbox").check()
  await button.click()
  await own.getByRole("button", { name: `Revoke the consent for ${origin}` }).waitFor()
  if (process.env.SHOTS) await own.screenshot({ path: `${process.env.SHOTS}/consent.png` })
  assert.deepEqual(await reach(page), [200, "messages"])
  await own.getByRole("button", { name: `Revoke the consent for ${origin}` }).click()
  await own.getByText("No pages of other origins.").waitFor()
  await until(() => page.evaluate(() => globalThis.socket.readyState === WebSocket.CLOSED), "the end of its socket")
  assert.deepEqual(await reach(page), ["nothing", "nothing"])
  await closePage(client)
  await page.context().close()
})

test("the page that asks lies in no frame and answers no form of another page", async () => {
  const ask = `${stack.url}/consent?origin=https%3A%2F%2Fevil.example`
  const page = await openStranger(frame(ask, "opacity: 0.01"))
  await until(() => page.problems.some((said) => said.includes("frame-ancestors")), "the refusal")
  const form = '<form id="f" method="post" action="$"><input name="origin" value="https://evil.example"><input name="sure" value="yes">' +
    '<input name="answer" value="allow"></form>'
  const other = await openStranger(form.replace("$", escaped(`${stack.url}/consent`)))
  const [answer] = await Promise.all([other.waitForResponse((response) => response.url().endsWith("/consent")),
    other.evaluate(() => document.querySelector("#f").submit())])
  assert.equal(answer.status(), 403)
  await page.context().close()
  await other.context().close()
})
