/**
 * A whole installation for the browser tests: API and worker as processes of the real program over the database that DATABASE_URL
 * names, and Debian's Chromium. `cli/tests/browser.rs` makes the database and the image and starts each test file once.
 *
 * Nothing here sleeps: everything waits for what it wants to see, with a deadline.
 */
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after } from "node:test"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

/** Longest wait for anything that a test expects, milliseconds. */
export const DEADLINE = 60_000
/** Holds busybox: sh, seq, cat, head, base64, sha256sum and the like. */
export const IMAGE = "asman-test/busybox:2"

const PROGRAM = required("ASMAN_PROGRAM")
const DATABASE = required("DATABASE_URL")

function required(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: run these tests by './x test browser'`)
  return value
}

/** Asks until there is an answer that is not undefined, null or false. */
export async function until(ask, what, deadline = DEADLINE) {
  const end = Date.now() + deadline
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== null && answer !== false) return answer
    if (Date.now() > end) throw new Error(`${what} did not happen within ${deadline} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A port that nobody listens on now. */
export async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** An API and its workers. Every test may use a queue of its own: `stack.newQueue()`. */
export class Stack {
  #processes = new Map()
  #folder = mkdtempSync(join(tmpdir(), "asman-browser-"))

  /** Starts the API, and a worker of `queue` unless `worker` is false. With `local` it is the API of this machine alone. */
  static async start({ worker = true, local = false } = {}) {
    const stack = new Stack()
    stack.isLocal = local
    stack.port = await freePort()
    stack.url = `http://localhost:${stack.port}`
    stack.queue = stack.newQueue()
    await stack.startApi()
    if (worker) await stack.startWorker(stack.queue)
    return stack
  }

  newQueue() {
    return `test-${randomBytes(8).toString("hex")}`
  }

  async startApi() {
    const blobs = join(this.#folder, "blobs")
    const options = ["--listen", `127.0.0.1:${this.port}`, "--blob-directory", blobs, "--poll", "300ms", "--lease", "10s",
      ...(this.isLocal ? ["--local", "--consent-file", join(this.#folder, "consent.json")] : [])]
    this.#spawn("api", ["api", "--database-url", DATABASE, ...options])
    await until(() => this.get("/readyz").then((body) => body?.ready, () => false), "a ready API")
  }

  /** Kills the API as a crash would. */
  async killApi() {
    await this.#end("api", "SIGKILL")
  }

  async startWorker(queue, id = `worker-${queue}`, options = []) {
    const data = join(this.#folder, id)
    const own = ["--id", id, "--heartbeat", "500ms", "--stop-grace", "1s", "--jobs", "2", "--data-directory", data]
    this.#spawn(id, ["worker", "run", queue, "--api", this.url, ...own, ...options])
    await until(() => this.get(`/q/${queue}/status`).then((body) => body?.localWorkers?.[id]), `worker ${id}`)
  }

  /** Lets its jobs end, and takes its containers with it. */
  async stopWorker(id) {
    await this.#end(id, "SIGTERM")
  }

  /** JSON of a GET; null where there is none. */
  async get(path) {
    const response = await fetch(this.url + path)
    return response.ok ? response.json() : null
  }

  /** Submits a definition and gives the job's id. */
  async submit(definition, queue = this.queue) {
    const response = await fetch(`${this.url}/q/${queue}`, { method: "POST", body: JSON.stringify({ definition }) })
    if (!response.ok) throw new Error(await response.text())
    return (await response.json()).jobId
  }

  /** Waits until a job has ended and gives its record. */
  async finished(id, queue = this.queue) {
    return until(async () => (await this.get(`/q/${queue}/j/${id}/result.json`))?.data, `the end of ${id}`)
  }

  /** Address of the page with these parameters; objects become base64 of percent-encoded JSON as in published links. */
  page(parameters = {}, path = "/") {
    const encoded = Object.entries(parameters).map(([name, value]) => {
      const text = typeof value === "object" ? btoa(encodeURIComponent(JSON.stringify(value))) : String(value)
      return `${name}=${encodeURIComponent(text)}`
    })
    return `${this.url}${path}${encoded.length > 0 ? `#?${encoded.join("&")}` : ""}`
  }

  async close() {
    // Workers first: they give their jobs back and remove their containers while there is an API.
    for (const name of [...this.#processes.keys()].sort((a, b) => Number(a === "api") - Number(b === "api"))) {
      await this.#end(name, "SIGTERM")
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #spawn(name, arguments_) {
    const child = spawn(PROGRAM, arguments_, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ASMAN_LOG: "warn" } })
    const said = []
    child.stderr.on("data", (data) => said.push(data))
    const ended = new Promise((resolve) => child.once("exit", resolve))
    this.#processes.set(name, { child, ended, said })
  }

  async #end(name, signal) {
    const running = this.#processes.get(name)
    if (!running) return
    this.#processes.delete(name)
    running.child.kill(signal)
    const timer = setTimeout(() => running.child.kill("SIGKILL"), 20_000)
    await running.ended
    clearTimeout(timer)
    if (process.env.ASMAN_SHOW_LOGS) process.stderr.write(Buffer.concat(running.said))
  }
}

/** A page that did not come over the network counts as one of the public Internet, which may not reach this machine. */
const FREE_NETWORK = "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"

/** A browser for the tests of one file, which ends with them. */
export async function useBrowser() {
  const browser = await openBrowser()
  after(() => browser.close())
  return browser
}

/** The same with an installation of their own. */
export async function useStack(options) {
  const browser = await useBrowser()
  const stack = await Stack.start(options)
  after(() => stack.close())
  return { stack, browser }
}

/** Starts the browser. */
export function openBrowser() {
  const switches = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      ...switches, ...(process.env.WEB_DIST ? [FREE_NETWORK] : []), "--disable-component-update", "--disable-sync",
      "--js-flags=--expose-gc",
    ],
  })
}

/**
 * A page that remembers what went wrong in it: uncaught errors, violations of the content security policy, errors on the console.
 * `page.problems` should be empty at a test's end, but for what the test provokes.
 */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  const isServed = ({ hostname, pathname }) => hostname === "localhost" && (PAGE.test(pathname) || FILE.test(pathname))
  if (process.env.WEB_DIST) await context.route(isServed, fromDist)
  page.problems = []
  page.on("pageerror", (error) => page.problems.push(String(error)))
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes(CUT)) page.problems.push(message.text())
  })
  page.goto = throughCuts(page)
  return page
}

/** The browser ends all requests when an interface of the machine comes or goes, and with each container one does. */
const CUT = "ERR_NETWORK_CHANGED"
const CUTS_MAX = 3

/** Goes to an address, and loads it again when that happened meanwhile, as a person would. */
function throughCuts(page) {
  const goto = page.goto.bind(page)
  return async (...where) => {
    let isCut = false
    const note = (request) => (isCut ||= request.failure()?.errorText.includes(CUT) ?? false)
    page.on("requestfailed", note)
    try {
      let response = await goto(...where).catch((error) => {
        if (!String(error).includes(CUT)) throw error
        isCut = true
      })
      for (let n = 0; isCut && n < CUTS_MAX; n++) {
        isCut = false
        response = await page.reload().catch(() => (isCut = true, undefined))
      }
      return response
    } finally {
      page.off("requestfailed", note)
    }
  }
}

/** Paths of the pages, and of the files that they load. */
const PAGE = /^\/(?:[jq]\/[^/]+)?$/
const FILE = /^\/(?:assets\/[^/]+|[^/]+\.js)$/
const TYPES = { js: "text/javascript", css: "text/css" }

/** With WEB_DIST set: a file of `web/dist` in place of the program's, so that a change of the client needs no compilation. */
async function fromDist(route) {
  const { pathname } = new URL(route.request().url())
  if (PAGE.test(pathname)) return route.request().isNavigationRequest() ? pageFromDist(route, pathname) : route.fallback()
  const contentType = TYPES[pathname.split(".").at(-1)] ?? "application/octet-stream"
  await route.fulfill({ path: dist(pathname.slice(1)), contentType })
}

/** The page as the server would give it: with its policy, and with the way up to the root. */
async function pageFromDist(route, pathname) {
  const served = await route.fetch()
  const policy = served.headers()["content-security-policy"]
  const opener = served.headers()["cross-origin-opener-policy"]
  const isLocal = (await served.text()).includes('name="asman-instance" content="local"')
  const up = "../".repeat(pathname.split("/").length - 2) || "./"
  const html = readFileSync(dist("index.html"), "utf8").replaceAll('"./', `"${up}`)
    .replace('name="asman-instance" content="public"', `name="asman-instance" content="${isLocal ? "local" : "public"}"`)
  await route.fulfill({ body: html, contentType: "text/html", headers: { ...(policy && { "content-security-policy": policy }),
    ...(opener && { "cross-origin-opener-policy": opener }) } })
}

const dist = (name) => fileURLToPath(new URL(`../dist/${name}`, import.meta.url))

/** Shows a tab of the client page's side panel, which may be closed. */
export async function openTab(page, name) {
  const panel = page.getByRole("button", { name: "Show the side panel" })
  await panel.or(page.getByRole("tab", { name })).first().waitFor()
  if (await panel.isVisible()) await panel.click()
  await page.getByRole("tab", { name }).click()
}

/** Ends a page in which nothing went wrong. */
export async function closePage(page) {
  assert.deepEqual(page.problems, [])
  await page.context().close()
}

/** A job that a shell runs; the script holds no single quote. */
export function shell(script, more = {}) {
  return { image: IMAGE, command: `sh -c '${script}'`, ...more }
}

/** Waits until an act in a window that a link opened counts; in a frame none ever does. What follows takes a page, or such a frame. */
function isInFront(page) {
  return page.waitForFunction?.(() => performance.now() - performance.getEntriesByType("navigation")[0].loadEventEnd > 1_000)
}

/** Presses a button of the header. */
export async function press(page, name) {
  await isInFront(page)
  await page.locator("header").getByRole("button", { name, exact: true }).click()
}

/** Chooses files of this machine. */
export async function choose(page, files) {
  await isInFront(page)
  await page.locator("input[type=file]").setInputFiles(files)
}

/** Waits for the word that says how the job stands. */
export function showsState(page, text, options) {
  return page.locator("header [role=status]", { hasText: text }).waitFor(options)
}

/** The id of the job that the page is about. */
export async function idOf(page) {
  return page.locator("header .id").getAttribute("data-id")
}

/** The rows of the log that are in view. */
export async function readLog(page) {
  return (await page.locator(".xterm-rows").count()) > 0 ? page.locator(".xterm-rows").innerText() : ""
}

/** Waits for a text in the rows of the log. */
export function showsLog(page, text) {
  return until(async () => (await readLog(page)).includes(text), `"${text}" in the log`)
}
