/** Accessibility of the page: axe finds no serious problem in any state, and the keyboard alone is enough. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { test } from "node:test"
import { IMAGE, closePage, idOf, openPage, openTab, press, showsState, useStack } from "./stack.mjs"

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

const { stack, browser } = await useStack()

const JOB = { image: IMAGE, command: "sh -c 'echo hello; echo a,b > /outputs/t.csv; exit 3'" }

/** The serious and critical findings of axe, with their location. */
async function serious(page) {
  // Through the debugger: the page's own policy lets no foreign script in.
  const { violations } = await page.evaluate(`${AXE}; axe.run()`)
  const worst = violations.filter(({ impact }) => impact === "serious" || impact === "critical")
  return worst.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`)
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing serious in the ${colorScheme} pages`, async () => {
    const page = await openPage(browser, { colorScheme })
    const look = async (what) => assert.deepEqual(await serious(page), [], what)
    await page.goto(stack.url)
    await page.getByRole("heading", { name: "Run a container job" }).waitFor()
    await look("first visit")
    // A job of its own: the server would know the one of the test before.
    const job = { ...JOB, env: { COLOURS: colorScheme } }
    await page.goto(stack.page({ queue: stack.queue, job, inputs: { "main.sh": "echo\n" } }))
    await press(page, "Run")
    await showsState(page, "Failed")
    for (const tab of ["Files", "Settings", "Outputs", "Queue", "History"]) {
      await openTab(page, new RegExp(`^${tab}`))
      await look(tab)
    }
    const id = await idOf(page)
    await page.goto(`${stack.url}/j/${id}`)
    await page.getByText("t.csv").first().waitFor()
    await look("page of a job")
    const waiting = stack.newQueue()
    await page.goto(stack.page({ queue: waiting }, `/j/${await stack.submit({ ...JOB, command: "true" }, waiting)}`))
    await page.getByText("No worker is connected to this queue").waitFor()
    await look("page of a waiting job")
    await page.goto(`${stack.url}/q/${stack.queue}`)
    await page.getByText(/worker/i).first().waitFor()
    await look("page of a queue")
    await page.goto(`${stack.url}/docs`)
    await look("docs")
    await closePage(page)
  })
}

test("a phone shows everything without scrolling sideways", async () => {
  const page = await openPage(browser, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true })
  const id = await stack.submit(JOB)
  await stack.finished(id)
  const paths = [`/j/${id}`, `/q/${stack.queue}`, "/docs", "/docs/nothing"].map((path) => stack.url + path)
  for (const address of [stack.url, stack.page({ queue: stack.queue, job: JOB }), ...paths]) {
    await page.goto(address)
    await page.locator("h1, header").first().waitFor()
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(wide <= 0, `${address} is ${wide} px too wide`)
  }
  await page.context().close()
})

test("a job is set up and run by the keyboard alone", async () => {
  const page = await openPage(browser)
  await page.goto(stack.page({ queue: stack.queue, job: { image: IMAGE, command: "echo by keyboard" } }))
  await showsState(page, "Ready to run")
  await page.keyboard.press("Control+Enter")
  await showsState(page, "Succeeded")
  const reached = new Set()
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press("Tab")
    reached.add(await page.evaluate(() => {
      const { activeElement } = document
      return activeElement?.getAttribute("aria-label") ?? activeElement?.textContent?.trim()
    }))
  }
  assert.ok([...reached].some((name) => name?.startsWith("Run again")), [...reached].join(" | "))
  assert.ok([...reached].some((name) => name?.startsWith("Search the log")), [...reached].join(" | "))
  await page.context().close()
})
