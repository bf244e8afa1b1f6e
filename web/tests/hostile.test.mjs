/** Hostile text in logs, names and files: nothing of it runs, and the page survives. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { IMAGE, closePage, openPage, openTab, press, readLog, showsLog, showsState, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()

/** Runs a script of which every byte arrives as it is, and gives the page that shows it. */
async function run(script) {
  const page = await openPage(browser, { permissions: ["clipboard-read", "clipboard-write"] })
  page.on("dialog", (dialog) => (page.problems.push(`a dialog: ${dialog.message()}`), dialog.dismiss()))
  await page.addInitScript(() => (globalThis.pwned = () => (document.title = "pwned")))
  await page.goto(stack.page({ queue: stack.queue, job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: { "main.sh": script } }))
  await press(page, "Run")
  await showsState(page, /Succeeded|Failed/)
  return page
}

async function isUnharmed(page) {
  assert.notEqual(await page.title(), "pwned")
  await closePage(page)
}

test("escape sequences change no title, no clipboard and no address, and bidi controls are seen", async () => {
  const script = String.raw`printf '\033]0;pwned\007\033]52;c;cHduZWQ=\007\033]8;;javascript:pwned()\033\\click\033]8;;\033\\\033[2J\033[?1049h\033c\n'
printf 'user\342\200\256gpj.exe\n'
printf '\033[31mred\033[0m plain\n'
printf '10%%\r100%%\n'
echo the end`
  const page = await run(script)
  await showsLog(page, "the end")
  const text = await readLog(page)
  assert.ok(text.includes("click") && text.includes("U+202E") && text.includes("red plain"), text)
  assert.ok(text.includes("100%") && !text.includes("10%\n"), text)
  assert.equal(await page.evaluate(() => navigator.clipboard.readText().catch(() => "")), "")
  await isUnharmed(page)
})

test("a line of a megabyte is cut where it is shown, and the page stays alive", async () => {
  const page = await run("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo after it")
  await showsLog(page, "after it")
  const start = Date.now()
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)))
  assert.ok(Date.now() - start < 2_000)
  await isUnharmed(page)
})

test("names and contents of outputs are shown, and never run", async () => {
  const script = String.raw`cd /outputs
echo x > '<img src=x onerror=pwned()>'
echo '<script>parent.pwned()</script><h1>html</h1>' > page.html
echo '<svg xmlns="http://www.w3.org/2000/svg" onload="pwned()"><script>pwned()</script></svg>' > image.svg
echo '{"__proto__": {"polluted": 1}}' > evil.json
echo '<script>pwned()</script>' > fake.pdf`
  const page = await run(script)
  await openTab(page, /Outputs/)
  for (const name of ["<img src=x onerror=pwned()>", "page.html", "image.svg", "evil.json", "fake.pdf"]) {
    const row = page.getByRole("region", { name: "Outputs" }).getByRole("button", { name, exact: true })
    await row.click()
    await page.locator(".preview").first().waitFor()
    await row.click()
  }
  assert.equal(await page.evaluate(() => ({}).polluted), undefined)
  await isUnharmed(page)
})

test("JSON of 50 MB is previewed in bounded memory", async () => {
  const script = `{ echo '['; yes '{"name": "a value that repeats", "n": 12345},' | head -c 52000000; echo; echo '0]'; } > /outputs/big.json`
  const page = await run(script)
  await openTab(page, /Outputs/)
  await page.locator(".preview").first().waitFor()
  await page.getByText(/first/i).first().waitFor()
  const bytes = await page.evaluate(() => (gc(), performance.memory.usedJSHeapSize))
  assert.ok(bytes < 150 * 2 ** 20, `${bytes} bytes`)
  await isUnharmed(page)
})

test("a queue whose name contains a slash is refused with a sentence", async () => {
  const page = await openPage(browser)
  await page.goto(stack.page({ queue: "a/b", job: { image: IMAGE, command: "true" } }))
  await page.getByText(/slash/i).first().waitFor()
  await isUnharmed(page)
})
