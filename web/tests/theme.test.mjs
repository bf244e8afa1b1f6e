/** Light and dark: as the system says until a person chooses, kept over a reload, and never the wrong one for a moment. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { IMAGE, closePage, openPage, press, showsLog, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()

const FILES = { "main.sh": "echo seen in colours\n" }
const LINK = { queue: stack.queue, job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: FILES }

/** Whether what covers an element's place is dark, by the first background that is not transparent. */
const isDark = (page, selector) => page.locator(selector).first().evaluate((element) => {
  for (let at = element; at; at = at.parentElement) {
    // An element that has just left the document has no style.
    const [red, green, blue, alpha = 1] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number)
    if (alpha > 0) return red + green + blue < 3 * 128
  }
  return undefined
})

/** The page, the terminal and the editor, all of one kind. */
async function shows(page, dark) {
  const parts = ["body", "header", ".xterm .xterm-scrollable-element", ".cm-editor"]
  const kinds = () => Promise.all(parts.map((part) => isDark(page, part)))
  await until(async () => (await kinds()).every((kind) => kind === dark), dark ? "all dark" : "all light")
}

async function choose(page, name) {
  await page.getByRole("button", { name: "More" }).click()
  await page.getByRole("menuitem", { name }).click()
}

async function open(options) {
  const page = await openPage(browser, options)
  // The colours of each frame from the first one on: a frame comes only when the styles are there.
  await page.addInitScript(() => {
    globalThis.colours = new Set()
    const look = () => {
      if (document.body) globalThis.colours.add(getComputedStyle(document.body).backgroundColor)
      requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
  })
  await page.goto(stack.page(LINK))
  await press(page, /^Run/)
  await showsLog(page, "seen in colours")
  await page.locator(".cm-editor").waitFor()
  return page
}

/** Reloads the page with its code held back until it painted something, and gives the colours of all of its frames. */
async function reload(page) {
  let release
  const painted = new Promise((resolve) => (release = resolve))
  const hold = async (route) => (await painted, route.fallback())
  await page.route(/\/assets\/index-[^/]*\.js$/, hold)
  const reloaded = page.reload()
  await until(() => page.evaluate(() => globalThis.colours?.size > 0).catch(() => false), "a first frame")
  release()
  await reloaded
  await page.unroute(/\/assets\/index-[^/]*\.js$/, hold)
  await page.locator(".cm-editor").waitFor()
  await showsLog(page, "seen in colours")
  return page.evaluate(() => [...globalThis.colours])
}

for (const system of ["light", "dark"]) {
  const other = system === "light" ? "dark" : "light"
  test(`a ${system} system gives a ${system} page, and who chooses ${other} keeps it without a flash`, async () => {
    const page = await open({ colorScheme: system })
    await shows(page, system === "dark")
    assert.equal((await reload(page)).length, 1)
    const Name = `${other[0].toUpperCase()}${other.slice(1)} theme`
    await choose(page, Name)
    await shows(page, other === "dark")
    const colours = await reload(page)
    await shows(page, other === "dark")
    assert.equal(colours.length, 1, `the page flashed: ${colours}`)
    for (const path of [`/q/${stack.queue}`, "/j/none"]) {
      await page.goto(stack.url + path)
      await page.locator("header").waitFor()
      assert.equal(await isDark(page, "body"), other === "dark", path)
      assert.equal(await until(() => page.evaluate(() => globalThis.colours.size), "a frame"), 1, path)
    }
    page.problems = page.problems.filter((problem) => !problem.includes("404"))
    await closePage(page)
  })
}

test("a system that turns dark takes the page with it, unless a person chose", async () => {
  const page = await open({ colorScheme: "light" })
  await shows(page, false)
  await page.emulateMedia({ colorScheme: "dark" })
  await shows(page, true)
  await choose(page, "Light theme")
  await shows(page, false)
  await page.emulateMedia({ colorScheme: "light" })
  await page.emulateMedia({ colorScheme: "dark" })
  await shows(page, false)
  await choose(page, "Dark theme")
  await page.emulateMedia({ colorScheme: "light" })
  await shows(page, false)
  await closePage(page)
})
