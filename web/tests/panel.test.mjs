/**
 * What the panels beside the log tell and keep: the queue, the image's stages, hints, edits, runs to compare, images, the token.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { createRequire } from "node:module"
import { test } from "node:test"
import { IMAGE, choose, closePage, openPage, openTab, press, shell, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()

const why = (page, words) => page.locator("header .why", { hasText: words }).waitFor()

async function open(parameters, options) {
  const page = await openPage(browser, options)
  await page.goto(stack.page({ queue: stack.queue, ...parameters }))
  await page.locator("footer").waitFor()
  return page
}

/** Submits in a namespace. */
async function submit(queue, definition, namespace) {
  const body = JSON.stringify({ definition, control: { namespace } })
  const response = await fetch(`${stack.url}/q/${queue}`, { method: "POST", body })
  return (await response.json()).jobId
}

/** Addresses of the queue's details that a page asks for. */
function asked(page) {
  const paths = []
  page.on("request", (request) => {
    const { pathname } = new URL(request.url())
    if (/^\/q\/[^/]+\/(jobs|report\.json)$/.test(pathname)) paths.push(pathname.split("/").at(-1))
  })
  return paths
}

test("the queue panel tells of each job what it is, whose, where and which place, and of each worker its load", async () => {
  const queue = stack.newQueue()
  await stack.startWorker(queue, "busy-worker", ["--cpus", "1", "--tags", "fast,near"])
  const running = await submit(queue, shell("sleep 300"), "somebody")
  const waiting = await submit(queue, shell("sleep 301"), "mine")
  const last = await submit(queue, shell("sleep 302"), "_")
  const page = await open({ queue, job: shell("echo"), control: { namespace: "mine" } })
  await openTab(page, /Queue/)
  const jobs = page.getByRole("list", { name: "Jobs of the queue" })
  const row = (text) => jobs.getByRole("listitem").filter({ hasText: text })
  await row("sleep 300").getByText("Running").waitFor()
  await row("sleep 300").getByText("on busy-worker").waitFor()
  await row("sleep 300").getByText("of somebody").waitFor()
  await row("sleep 300").getByRole("link", { name: running.slice(0, 8) }).waitFor()
  await row("sleep 301").getByText("Waiting, 1 of 2").waitFor()
  await row("sleep 301").getByText("a worker that can run it takes it as soon as it has room").waitFor()
  await row("sleep 302").getByText("Waiting, 2 of 2").waitFor()
  await row("sleep 302").getByText("of anyone").waitFor()
  assert.match(await row("sleep 302").innerText(), new RegExp(IMAGE))
  const worker = page.getByRole("list", { name: "Workers of the queue" }).getByRole("listitem")
  await worker.filter({ hasText: "1 of 1 CPU" }).waitFor()
  for (const text of ["busy-worker", "1 job", "fast", "near", "version", "seen just now"]) {
    assert.ok((await worker.innerText()).includes(text), text)
  }

  await page.getByRole("button", { name: "Mine" }).click()
  await row("sleep 302").waitFor({ state: "detached" })
  assert.equal(await jobs.getByRole("listitem").count(), 1)
  await page.getByRole("button", { name: "Mine" }).click()
  await row("sleep 302").getByRole("button", { name: `Cancel job ${last.slice(0, 8)}` }).click()
  await page.getByRole("button", { name: "Cancel the job" }).click()
  await row("sleep 302").getByText("Cancelled").waitFor()
  for (const id of [running, waiting]) await fetch(`${stack.url}/q/${queue}/j/${id}/cancel?namespace=*`, { method: "POST" })
  await stack.stopWorker("busy-worker")
  await closePage(page)
})

test("the details of a queue are asked for while its panel is open, and not otherwise", async () => {
  const page = await open({ job: shell("echo watched; exit 3") })
  const paths = asked(page)
  await press(page, "Run")
  await showsState(page, "Failed")
  assert.deepEqual(paths, [])
  await openTab(page, /Queue/)
  await page.getByRole("list", { name: "Jobs of the queue" }).getByRole("listitem").filter({ hasText: "echo watched" })
    .getByText("Failed with exit code 3").waitFor()
  await until(() => paths.filter((path) => path === "report.json").length >= 2, "two reports")
  await openTab(page, /Files/)
  const nAsked = paths.length
  await press(page, "Run again")
  await showsState(page, "Failed")
  assert.equal(paths.length, nAsked)
  await closePage(page)
})

test("a server that lacks these routes costs the details alone", async () => {
  const page = await openPage(browser)
  const isDetail = /\/q\/[^/]+\/(jobs(\?.*)?|report\.json|status)$/
  await page.route(isDetail, (route) => route.fulfill({ status: 404, json: { error: "not found" } }))
  const paths = asked(page)
  await page.goto(stack.page({ queue: stack.queue, job: shell("echo older; sleep 3") }))
  await press(page, "Run")
  await openTab(page, /Queue/)
  await page.getByRole("list", { name: "Jobs of the queue" }).getByText("echo older").waitFor()
  await page.getByRole("list", { name: "Workers of the queue" }).getByText("CPU").first().waitFor()
  await showsState(page, "Succeeded")
  assert.equal(await page.getByRole("alert").count(), 0)
  assert.deepEqual(paths.sort(), ["jobs", "report.json"])
  page.problems = page.problems.filter((problem) => !/404/.test(problem))
  await closePage(page)
})

test("a build tells its steps, and a container that writes nothing is running", async () => {
  const dockerfile = `FROM ${IMAGE}\nRUN echo ${stack.newQueue()} && sleep 3\nRUN sleep 3`
  const page = await open({ job: { build: { dockerfile }, command: "sleep 300" } })
  await press(page, "Run")
  await showsState(page, "Building the image")
  await page.locator("header").getByText(/step 2 of \d/).waitFor()
  await page.locator("header").getByText(/step 3 of \d/).waitFor()
  await why(page, "builds the image: RUN sleep 3")
  await page.locator("header [role=status]", { hasText: /^Running$/ }).waitFor()
  await press(page, "Stop")
  await showsState(page, "Stopped")
  await closePage(page)
})

test("each end says what to do next", async () => {
  const page = await open({ job: shell("nothing-of-this-name") })
  await press(page, "Run")
  await showsState(page, "Failed")
  await why(page, "exit code 127: the command was not found. Check the command's spelling")
  await page.goto(stack.page({ queue: stack.queue, job: shell("sleep 300", { maxDuration: "1s" }) }))
  await press(page, "Run")
  await showsState(page, "Timed out")
  await why(page, "Raise “Longest run” in the settings above 1s")
  await page.goto(stack.page({ queue: stack.queue, job: shell("echo", { tags: ["nobody-has-it"] }) }))
  await press(page, "Run")
  await showsState(page, "Queued")
  await why(page, "Remove the tag in the settings")
  await press(page, "Stop")
  await closePage(page)
})

test("the test of this machine finds a worker, or has the command that mends what it found", async () => {
  const page = await openPage(browser)
  let answer = (route) => route.abort("connectionrefused")
  await page.route("http://localhost:8000/**", (route) => answer(route))
  await page.goto(stack.page({ queue: stack.queue, job: shell("echo") }))
  await page.locator("footer").waitFor()
  await openTab(page, /Queue/)
  await page.getByText(`Jobs run on the machines whose workers serve this queue at this machine's server.`).waitFor()
  const button = page.getByRole("button", { name: "Test this machine" })
  await button.click()
  await page.getByText("No server answers at http://localhost:8000").waitFor()
  await page.getByText(`asman worker run --mode local --allow-origin ${stack.url}`, { exact: true }).waitFor()

  // From here on that address leads to the real API.
  answer = (route) => route.continue({ url: route.request().url().replace("http://localhost:8000", stack.url) })
  await button.click()
  await page.getByText("no worker serves its queue local").waitFor()
  await page.getByText("asman worker run local --api http://localhost:8000", { exact: true }).waitFor()
  await stack.startWorker("local", "local-worker")
  await button.click()
  await page.getByText("This machine is ready: a worker with").waitFor()
  await stack.stopWorker("local-worker")
  page.problems = page.problems.filter((problem) => !/ERR_CONNECTION_REFUSED/.test(problem))
  await closePage(page)
})

/** The edits in the page's database. */
const keptEdits = (page) => page.evaluate(() => new Promise((resolve, reject) => {
  const opened = indexedDB.open("asman")
  opened.onerror = () => reject(opened.error)
  opened.onsuccess = () => {
    const request = opened.result.transaction("edits").objectStore("edits").getAll()
    request.onsuccess = () => (opened.result.close(), resolve(request.result.map(({ edits }) => edits)))
  }
}))

test("edits survive a reload until they are discarded or saved, and the browser need not ask", async () => {
  const page = await open({ job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: { "main.sh": "echo saved\n" } })
  page.on("dialog", (dialog) => (page.problems.push(dialog.message()), dialog.accept()))
  const edit = async (text) => {
    await openTab(page, /Files/)
    await page.locator(".cm-content").click()
    await page.keyboard.press("Control+A")
    await page.keyboard.type(text)
    await until(async () => (await keptEdits(page))[0]?.texts["main.sh"] === text, "kept edits")
  }
  const shows = (text) => page.locator(".cm-content", { hasText: text }).waitFor()
  const note = page.getByText("Unsaved edits were restored: main.sh, the settings.")
  await edit("echo typed")
  await openTab(page, /Settings/)
  await page.getByLabel("Working directory").fill("/work")
  await until(async () => (await keptEdits(page))[0]?.form?.workdir === "/work", "kept settings")
  await page.reload()
  await note.waitFor()
  await openTab(page, /Files/)
  await shows("echo typed")
  await page.getByRole("button", { name: "Discard edits" }).first().click()
  await shows("echo saved")
  await note.waitFor({ state: "detached" })
  await until(async () => (await keptEdits(page)).length === 0, "no kept edits")

  await edit("echo run")
  await press(page, "Save and run")
  await showsState(page, "Succeeded")
  await until(async () => (await keptEdits(page)).length === 0, "no kept edits")
  await page.reload()
  await openTab(page, /Files/)
  await shows("echo run")
  assert.equal(await page.getByText("Unsaved edits were restored").count(), 0)
  await closePage(page)
})

test("two runs of the history are compared, file by file, and each has a link", async () => {
  const text = `# ${"long ".repeat(60)}\necho first; echo first > /outputs/a.txt; echo same > /outputs/b.txt\n`
  const page = await open({ job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: { "main.sh": text } })
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await openTab(page, /Files/)
  await page.locator(".cm-content").click()
  await page.keyboard.press("Control+End")
  await page.keyboard.type("echo second; echo second > /outputs/a.txt; exit 3")
  await press(page, "Save and run")
  await showsState(page, "Failed")
  await openTab(page, /History/)
  const compare = page.getByRole("button", { name: "Compare" })
  await compare.nth(0).click()
  await page.getByText("Choose the run to compare it with.").waitFor()
  await compare.nth(1).click()
  const dialog = page.getByRole("dialog", { name: "Compare two runs" })
  await dialog.getByRole("row", { name: "State Succeeded Failed" }).waitFor()
  assert.match(await dialog.locator("ins").innerText(), /exit 3/)
  assert.equal(await dialog.locator("del").count(), 1)
  await dialog.getByText("Outputs and log").click()
  await dialog.getByRole("row", { name: "a.txt 6 B 7 B changed" }).waitFor()
  await dialog.getByRole("row", { name: "b.txt 5 B 5 B same" }).waitFor()
  const log = dialog.getByRole("region", { name: "Changed lines of Log" })
  assert.equal(await log.locator("ins").innerText(), "+ second")
  assert.equal(await log.locator("del").count(), 0)
  const links = await dialog.getByRole("link").evaluateAll((all) => all.map(({ href }) => href))
  assert.equal(new Set(links).size, 2)
  for (const link of links) assert.ok((await fetch(link)).ok, link)
  await page.keyboard.press("Escape")
  await openTab(page, /Settings/)
  await page.getByText("why did it run again?").click()
  assert.match(await page.locator("ins").innerText(), /exit 3/)
  await closePage(page)
})

test("images are suggested from what is known here, without a word to anybody else", async () => {
  const queue = stack.newQueue()
  await submit(queue, { image: "of/the-queue:1", command: "x" }, "_")
  const page = await openPage(browser)
  const foreign = []
  page.on("request", (request) => { if (!request.url().startsWith(stack.url)) foreign.push(request.url()) })
  await page.goto(stack.page({ queue, job: { image: "me/tool:1", command: "x" } }))
  await page.locator("footer").waitFor()
  await openTab(page, /Settings/)
  const field = page.getByRole("combobox", { name: "Image" })
  const options = () => field.evaluate((input) => [...(input.list?.options ?? [])].map(({ value }) => value))
  await until(async () => (await options()).includes("of/the-queue:1"), "the queue's image")
  assert.ok((await options()).includes("alpine:3.20"))
  const link = page.getByRole("link", { name: /Search Docker Hub/ })
  assert.equal(await link.getAttribute("href"), "https://hub.docker.com/search?type=image&q=me%2Ftool")
  assert.deepEqual([await link.getAttribute("target"), await link.getAttribute("rel")], ["_blank", "noopener noreferrer"])
  assert.deepEqual(foreign, [])
  await closePage(page)
})

/** A server that answers each request as told, to pages of any origin, and remembers what came. */
async function startServer(answer) {
  const came = []
  const server = createServer((request, response) => {
    const open = {
      "access-control-allow-origin": "*", "access-control-allow-methods": "*",
      "access-control-allow-headers": "authorization, content-type",
    }
    request.resume()
    if (request.method === "OPTIONS") return response.writeHead(204, open).end()
    if (request.method === "PUT") came.push(request.headers.authorization)
    const { status = 404, headers = {} } = request.method === "PUT" ? answer(request) : {}
    response.writeHead(status, { ...open, ...headers }).end("{}")
  })
  await new Promise((resolve) => server.listen(0, "localhost", resolve))
  const close = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)))
  return { came, url: `http://localhost:${server.address().port}`, close }
}

test("a queue's token goes with an upload to the queue's server, and not on to the storage that it names", async (t) => {
  const storage = await startServer(() => ({ status: 200 }))
  const server = await startServer((request) => ({ status: 307, headers: { location: storage.url + request.url } }))
  t.after(() => Promise.all([server.close(), storage.close()]))
  const queue = `${server.url}/guarded`
  const page = await openPage(browser)
  const kept = [`asman-token:${server.url}/q/guarded`, "a-token-of-sixteen"]
  await page.addInitScript(([key, token]) => sessionStorage.setItem(key, token), kept)
  await page.goto(stack.page({ queue, job: shell("echo") }))
  await page.locator("footer").waitFor()
  await openTab(page, /Files/)
  const file = { name: "some.bin", mimeType: "application/octet-stream", buffer: Buffer.alloc(40_000, 255) }
  await choose(page, file)
  await until(() => storage.came.length > 0, "the upload at the storage")
  assert.deepEqual([server.came, storage.came], [["Bearer a-token-of-sixteen"], [undefined]])
  await page.context().close()
})

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** The serious and critical findings of axe, with their location. */
async function serious(page) {
  const { violations } = await page.evaluate(`${AXE}; axe.run()`)
  const worst = violations.filter(({ impact }) => impact === "serious" || impact === "critical")
  return worst.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`)
}

for (const colorScheme of ["light", "dark"]) {
  test(`everybody can use what is new, in the ${colorScheme} page and on a phone`, async () => {
    const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }
    const page = await open({ job: shell(`echo ${colorScheme}`) }, { colorScheme, ...phone })
    const look = async (what) => assert.deepEqual(await serious(page), [], what)
    const fits = async (what) => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), what)
    await press(page, "Run")
    await showsState(page, "Succeeded")
    await press(page, "Run again")
    await showsState(page, "Succeeded")
    await page.getByRole("tab", { name: /History/ }).click()
    await page.getByRole("button", { name: "Compare" }).nth(0).press("Enter")
    await page.getByRole("button", { name: "Compare" }).nth(1).press("Enter")
    await page.getByRole("dialog").getByText("They are the same: the job ran again.").waitFor()
    await page.getByRole("dialog").getByText("Outputs and log").press("Enter")
    await page.getByRole("dialog").getByText("Both are runs of the same job").waitFor()
    await look("two runs")
    await fits("two runs")
    await page.keyboard.press("Escape")
    await page.getByRole("tab", { name: /Settings/ }).click()
    await page.getByLabel("Working directory").fill("/work")
    await until(async () => (await keptEdits(page)).length === 1, "kept settings")
    await page.reload()
    await page.getByText("Unsaved edits were restored: the settings.").waitFor()
    await page.getByRole("tab", { name: /Queue/ }).click()
    await page.route("http://localhost:8000/**", (route) => route.abort("connectionrefused"))
    await page.getByRole("button", { name: "Test this machine" }).press("Enter")
    await page.getByText("No server answers at http://localhost:8000").waitFor()
    await page.getByRole("list", { name: "Jobs of the queue" }).getByText("Succeeded").first().waitFor()
    await look("queue, restored edits")
    await fits("queue, restored edits")
    page.problems = page.problems.filter((problem) => !/ERR_CONNECTION_REFUSED/.test(problem))
    await closePage(page)
  })
}
