/** Queues that ask for tokens: the page says so, takes one, works with it, and gives it to nobody but the queue's own server. */
import assert from "node:assert/strict"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { after, test } from "node:test"
import { openParent, serveParents } from "./parent.mjs"
import { IMAGE, closePage, openPage, openTab, press, showsLog, showsState, until, useStack } from "./stack.mjs"

/** One token reads and submits: who has it can follow what he sends. */
const TOKEN = "token-of-the-browser-0123456789"
const OWNER = "token-of-the-owner-0123456789"
const WORKER = "token-of-the-workers-0123456789"

const { stack, browser } = await useStack({ worker: false })
const parents = await serveParents()
after(() => parents.close())

/** A queue that asks everybody for a token. Its worker, if there is one, has the right one. */
async function lockedQueue({ worker = true } = {}) {
  const queue = stack.newQueue()
  if (worker) await stack.startWorker(queue, `worker-${queue}`, ["--token", WORKER])
  const policy = { ownerToken: OWNER, workerToken: WORKER, submitToken: TOKEN, readToken: TOKEN }
  const response = await fetch(`${stack.url}/q/${queue}/policy`, { method: "PUT", body: JSON.stringify(policy) })
  assert.equal(response.status, 200, await response.text())
  return queue
}

/** A script that is too long to travel inside the definition; its outputs are too long for the result. */
const SCRIPT = `# ${"a comment ".repeat(40)}
echo by token
echo small > /outputs/small.txt
yes 'a line of a large output' | head -c 3000000 > /outputs/large.txt
`
const JOB = { image: IMAGE, command: "sh /inputs/main.sh" }
const linkTo = (queue, script = SCRIPT) => stack.page({ queue, job: JOB, inputs: { "main.sh": script } })

/** All that a page asked for: method, URL and headers. */
function listen(page) {
  const requests = []
  const note = async (request) => {
    requests.push({ method: request.method(), url: request.url(), headers: await request.allHeaders() })
  }
  page.on("request", (request) => void note(request).catch(() => {}))
  page.on("websocket", (socket) => requests.push({ method: "SOCKET", url: socket.url(), headers: {} }))
  return requests
}

/** The token is in the headers of requests to its own server, and in the address of its socket, which takes no header. */
function assertKept(requests) {
  for (const { method, url, headers } of requests) {
    const isOurs = new URL(url).host === new URL(stack.url).host
    assert.ok(method === "SOCKET" ? isOurs : !url.includes(TOKEN), `${method} ${url}`)
    assert.ok(isOurs || !JSON.stringify(headers).includes(TOKEN), `${method} ${url} ${JSON.stringify(headers)}`)
    assert.ok(!(headers.referer ?? "").includes(TOKEN), `${method} ${url}`)
  }
}

/** What the browser itself says of the refusals that these tests provoke. */
async function close(page) {
  page.problems = page.problems.filter((problem) => !/40[134]|WebSocket/.test(problem))
  await closePage(page)
}

const alert = (page) => page.getByRole("alert").filter({ hasText: "The server refused access to this queue" })

async function enter(page, token) {
  await page.getByLabel("This queue requires a token").fill(token)
  await page.getByRole("button", { name: "Use token" }).click()
}

test("a queue that requires a token gets it, and jobs run with it, including large inputs and outputs", async () => {
  const queue = await lockedQueue()
  const page = await openPage(browser)
  const requests = listen(page)
  await page.goto(linkTo(queue))
  await alert(page).filter({ hasText: "Enter the queue's token." }).waitFor()
  await openTab(page, /Queue/)
  await enter(page, "wrong-token-0123456789")
  const isTried = () => requests.some(({ headers }) => headers.authorization === "Bearer wrong-token-0123456789")
  await until(isTried, "a request with the wrong token")
  await alert(page).filter({ hasText: "Enter the queue's token." }).waitFor()
  await enter(page, TOKEN)
  await page.locator("footer").getByText("Connected").waitFor()
  assert.equal(await alert(page).count(), 0)
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await showsLog(page, "by token")
  const uploads = requests.filter(({ method, url }) => method === "PUT" && url.startsWith(`${stack.url}/f/`))
  assert.equal(uploads.length, 1)
  assert.equal(uploads[0].headers.authorization, `Bearer ${TOKEN}`, "the upload carries the token")
  await openTab(page, /Outputs/)
  for (const [name, text] of [["small.txt", "small"], ["large.txt", "a line of a large output"]]) {
    await page.getByRole("button", { name, exact: true }).click()
    await page.locator(".preview pre", { hasText: text }).waitFor()
    const downloading = page.waitForEvent("download")
    await page.getByRole("button", { name: `Download ${name}` }).click()
    assert.ok(readFileSync(await (await downloading).path(), "utf8").startsWith(text), name)
  }
  await page.getByRole("button", { name: "More" }).click()
  await page.getByRole("menuitem", { name: "Share…" }).click()
  await page.getByLabel("Include the queue").check()
  for (const name of ["Link", "Link to the run"]) {
    const link = await page.getByRole("textbox", { name, exact: true }).inputValue()
    assert.ok(link.startsWith(stack.url) && !link.includes(TOKEN), link)
  }
  await page.keyboard.press("Escape")
  assert.ok(!page.url().includes(TOKEN), page.url())
  await page.reload()
  await page.locator("footer").getByText("Connected").waitFor()
  await showsState(page, "Succeeded")
  assert.ok(!page.url().includes(TOKEN), page.url())
  assertKept(requests)
  await close(page)
})

test("outputs that lie elsewhere are shown without the token", async () => {
  const got = []
  const elsewhere = createServer((request, response) => {
    got.push({ method: request.method, url: request.url, headers: request.headers })
    const headers = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*", "Content-Type": "text/plain" }
    response.writeHead(200, headers).end("from elsewhere")
  }).listen(0, "127.0.0.1")
  await once(elsewhere, "listening")
  const foreign = `http://127.0.0.1:${elsewhere.address().port}`
  const queue = await lockedQueue({ worker: false })
  const post = async (path, token, body) => {
    const init = { method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(body) }
    const response = await fetch(`${stack.url}/q/${queue}${path}`, init)
    assert.equal(response.status, 200, await response.clone().text())
    return response.json()
  }
  const { jobId } = await post("", TOKEN, { definition: { image: IMAGE, command: "true" } })
  const power = { cpus: 1, gpus: 0, memory: 1e9 }
  const worker = { ...power, id: "by-hand", version: "1", tags: [], maxJobDuration: "1h", executor: "docker" }
  const { jobs } = await post("/claim", WORKER, { worker, free: { ...power, jobs: 1 }, wait: "5s" })
  const [far, odd] = [`${foreign}/f/x`, `${foreign}/${stack.url}/f/x`]
  const addresses = { "far.txt": far, "near.txt": `${stack.url}/f/../healthz`, "odd.txt": odd }
  const outputs = Object.fromEntries(Object.entries(addresses).map(([name, value]) => [name, { type: "url", value }]))
  const result = { StatusCode: 0, logs: [], duration: 1, isTimedOut: false, outputs }
  await post(`/j/${jobId}/finish`, WORKER, { epoch: jobs[0].epoch, reason: "Success", result })
  const page = await openPage(browser)
  const requests = listen(page)
  await page.goto(stack.page({ queue, job: { image: IMAGE, command: "true" } }))
  await openTab(page, /Queue/)
  await enter(page, TOKEN)
  await showsState(page, "Succeeded")
  await openTab(page, /Outputs/)
  for (const [name, text] of [["far.txt", "from elsewhere"], ["odd.txt", "from elsewhere"], ["near.txt", "OK"]]) {
    await page.getByRole("button", { name, exact: true }).click()
    await page.locator(".preview pre", { hasText: text }).waitFor()
  }
  assert.ok(got.length >= 2)
  for (const { url, headers } of got) {
    assert.ok(!headers.authorization && !headers.referer && !url.includes("token"), `${url} ${JSON.stringify(headers)}`)
  }
  const near = requests.filter(({ url }) => url === `${stack.url}/healthz`)
  assert.ok(near.length > 0 && near.every(({ headers }) => !headers.authorization), "only stored files get the token")
  assertKept(requests)
  elsewhere.closeAllConnections()
  elsewhere.close()
  await close(page)
})

test("a parent page gets the outputs, and not the token", async () => {
  const queue = await lockedQueue()
  const parent = await openParent(browser, parents, "1.10.10", linkTo(queue, SCRIPT.replace("by token", "in a frame")))
  const requests = listen(parent.page)
  await parent.page.evaluate(() => {
    globalThis.said = []
    addEventListener("message", ({ data }) => globalThis.said.push(JSON.stringify(data)), true)
  })
  const frame = parent.page.frameLocator("iframe")
  await alert(frame).waitFor()
  await openTab(frame, /Queue/)
  await enter(frame, TOKEN)
  await frame.locator("footer").getByText("Connected").waitFor()
  await press(frame, "Run")
  await until(async () => (await parent.outputs())["large.txt"], "the outputs in the parent")
  await showsLog(frame, "in a frame")
  const said = await parent.page.evaluate(() => globalThis.said)
  assert.ok(said.some((text) => text.includes("OutputsUpdate")))
  assert.ok(![...said, ...(await parent.urls()), parent.page.url()].some((text) => text.includes(TOKEN)))
  assertKept(requests)
  await close(parent.page)
})

test("the pages of a queue and of a job ask for the token too, and take it out of their address", async () => {
  const queue = await lockedQueue({ worker: false })
  const page = await openPage(browser)
  const requests = listen(page)
  await page.goto(`${stack.url}/q/${queue}`)
  const field = page.getByLabel("Token of the queue")
  for (const token of ["wrong-token-0123456789", TOKEN]) {
    await field.fill(token)
    await page.getByRole("button", { name: "Use it" }).click()
  }
  await page.getByRole("heading", { name: /worker/i }).first().waitFor()
  await page.goto(`${stack.url}/q/${queue}?token=${TOKEN}`)
  await page.getByRole("heading", { name: /worker/i }).first().waitFor()
  assert.ok(!page.url().includes(TOKEN), page.url())
  assertKept(requests.filter(({ url }) => url !== `${stack.url}/q/${queue}?token=${TOKEN}`))
  await close(page)
})
