/**
 * What the page costs, as a table: sizes of what the first load brings, times of the first load, memory after a long log and after
 * minutes of quick updates. `./x figures`; UPDATE_MINUTES (10) bounds the last.
 */
import { readdirSync, statSync } from "node:fs"
import { IMAGE, Stack, openBrowser, openPage, press, shell, showsState } from "./stack.mjs"

const MINUTES = Number(process.env.UPDATE_MINUTES ?? 10)
const UPDATES_PER_SECOND = 50
const rows = []
const say = (what, value) => {
  rows.push([what, value])
  console.log(`${what}: ${value}`)
}

const heap = (page) => page.evaluate(() => (gc(), performance.memory.usedJSHeapSize / 2 ** 20))

/** A first visit with an empty cache: what crosses the wire, and when something is seen and can be used. */
async function firstLoad(path, name) {
  const page = await openPage(browser)
  const session = await page.context().newCDPSession(page)
  await session.send("Network.enable")
  let bytes = 0
  session.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength))
  await page.goto(stack.url + path)
  await page.locator("h1, header").first().waitFor()
  const times = await page.evaluate(() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime
    const [navigation] = performance.getEntriesByType("navigation")
    return { paint, interactive: navigation.domInteractive, complete: navigation.domContentLoadedEventEnd }
  })
  await page.waitForLoadState("networkidle")
  say(`${name}: bytes of the first load, compressed`, `${(bytes / 1000).toFixed(0)} kB`)
  say(`${name}: first contentful paint`, `${times.paint?.toFixed(0)} ms`)
  say(`${name}: interactive`, `${times.interactive.toFixed(0)} ms`)
  await page.context().close()
}

async function longLog() {
  const page = await openPage(browser)
  await page.goto(stack.page({ queue: stack.queue, job: { image: IMAGE, command: "seq 1 100000" } }))
  const before = await heap(page)
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await page.getByText("100,000 lines").first().waitFor()
  say("heap before a log", `${before.toFixed(1)} MiB`)
  say("heap after 100,000 lines", `${(await heap(page)).toFixed(1)} MiB`)
  await page.context().close()
}

/** Lines come fifty times a second; how long the page's main thread was held up at worst, and what is left in memory. */
async function quickUpdates() {
  const page = await openPage(browser)
  const n = Math.round(MINUTES * 60 * UPDATES_PER_SECOND)
  const script = `i=0; while [ $i -lt ${n} ]; do i=$((i+1)); echo update $i of ${n}; sleep ${1 / UPDATES_PER_SECOND}; done`
  await page.goto(stack.page({ queue: stack.queue, job: shell(script, { maxDuration: "1h" }) }))
  await page.evaluate(() => {
    globalThis.longest = 0
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (globalThis.longest = Math.max(globalThis.longest, entry.duration)))).observe({ type: "longtask" })
  })
  await press(page, "Run")
  await showsState(page, "Succeeded", { timeout: MINUTES * 60_000 * 2 + 120_000 })
  say(`heap after ${MINUTES} minutes of ${UPDATES_PER_SECOND} updates a second`, `${(await heap(page)).toFixed(1)} MiB`)
  say("longest task meanwhile", `${(await page.evaluate(() => globalThis.longest)).toFixed(0)} ms`)
  await page.context().close()
}

function bundles() {
  const folder = new URL("../dist/assets/", import.meta.url).pathname
  const compressed = readdirSync(folder).filter((name) => name.endsWith(".br"))
  const sizes = compressed.map((name) => [name.replace(/-[^-]+\.(js|css)\.br$/, ".$1"), statSync(folder + name).size]).sort((a, b) => b[1] - a[1])
  for (const [name, size] of sizes.slice(0, 8)) say(`file ${name}`, `${(size / 1000).toFixed(1)} kB`)
}

const stack = await Stack.start()
const browser = await openBrowser()
try {
  bundles()
  await firstLoad("/", "client page")
  const id = await stack.submit({ image: IMAGE, command: "seq 1 10" })
  await stack.finished(id)
  await firstLoad(`/j/${id}`, "job page")
  await firstLoad(`/q/${stack.queue}`, "queue page")
  await longLog()
  await quickUpdates()
  console.log(["", "| what | value |", "|---|---|", ...rows.map(([what, value]) => `| ${what} | ${value} |`)].join("\n"))
} finally {
  await browser.close()
  await stack.close()
}
