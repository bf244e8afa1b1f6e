/** A browser that had another client's page at this address, kept by that client's service worker, shows ours at the next load. */
import assert from "node:assert/strict"
import { once } from "node:events"
import { createServer } from "node:http"
import { test } from "node:test"
import { openPage, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack({ worker: false })

/** A client whose worker gives its page for every visit, whatever the server has. */
const KEPT = {
  "/": ["text/html", '<!doctype html><title>Of before</title><script src="/registerSW.js"></script>'],
  "/registerSW.js": ["text/javascript", 'navigator.serviceWorker.register("/sw.js", { scope: "/" })'],
  "/sw.js": ["text/javascript", `
    self.addEventListener("install", (event) => {
      self.skipWaiting()
      event.waitUntil(caches.open("kept").then((cache) => cache.addAll(["/", "/registerSW.js"])))
    })
    self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()))
    self.addEventListener("fetch", (event) => {
      const asked = event.request.mode === "navigate" ? "/" : event.request
      event.respondWith(caches.match(asked).then((kept) => kept ?? fetch(event.request)))
    })`],
}

/** Serves that client where the API is otherwise. */
async function serveBefore() {
  const server = createServer((request, response) => {
    const [type, text] = KEPT[new URL(request.url, "http://x").pathname] ?? ["text/plain", ""]
    response.writeHead(200, { "Content-Type": type }).end(text)
  })
  server.listen(stack.port, "127.0.0.1")
  await once(server, "listening")
  return async () => {
    server.closeAllConnections()
    server.close()
    await once(server, "close")
  }
}

const isOurs = (page) => page.evaluate(() => document.querySelector('meta[name="asman-instance"]') !== null).catch(() => false)
const left = (page) => page.evaluate(async () => [
  (await navigator.serviceWorker.getRegistrations()).length, (await caches.keys()).length,
]).catch(() => undefined)

for (const [path, what] of [["/", "the page"], ["/#?queue=q", "a link"]]) {
  test(`${what} of before is replaced by ours, and nothing of its worker is left`, async () => {
    await stack.killApi()
    const stop = await serveBefore()
    const page = await openPage(browser)
    await page.goto(stack.url + path)
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
    await stop()
    await page.goto("about:blank")
    await page.goto(stack.url + path)
    assert.equal(await page.title(), "Of before", "its worker gives it although no server does")
    await stack.startApi()
    await page.goto("about:blank")
    await page.goto(stack.url + path)
    await until(() => isOurs(page), "our page")
    await until(async () => (await left(page))?.every((n) => n === 0), "the end of the worker and what it kept")
    assert.ok(page.url().endsWith(path), "the link is whole")
    await page.reload()
    assert.ok(await isOurs(page))
    await page.context().close()
  })
}

test("files that are not there are not the page", async () => {
  for (const name of ["/none.js", "/deep/install.sh", "/README.md", "/robots.txt", "/favicon.ico", "/service-worker.js"]) {
    const answer = await fetch(stack.url + name)
    assert.deepEqual([answer.status, answer.headers.get("content-type")?.split(";")[0]], [404, "application/json"], name)
  }
  for (const name of ["/sw.js", "/registerSW.js"]) {
    const answer = await fetch(stack.url + name)
    const [type] = answer.headers.get("content-type").split(";")
    assert.deepEqual([answer.status, type, answer.headers.get("cache-control")], [200, "text/javascript", "no-cache"], name)
  }
})
