/** Logs that are long, coloured, or say the same again and again. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { closePage, idOf, openPage, press, readLog, shell, showsLog, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack()

/** Opens the page of a job. */
async function show(job, path = "/") {
  const page = await openPage(browser)
  await page.goto(stack.page({ job, queue: stack.queue }, path))
  return page
}

async function downloaded(page) {
  const saved = page.waitForEvent("download")
  await page.getByRole("button", { name: "Download the log" }).click()
  const lines = readFileSync(await (await saved).path(), "utf8").split("\n")
  assert.equal(lines.pop(), "", "the last line has its end")
  return lines
}

const countOf = (page) => page.locator(".log .count").innerText()

// All lines go through one output: two outputs come to the engine separately, and a busy machine may change their order.
test("of 150,001 lines the last is shown, live and when the page is opened later, and the download has each", async () => {
  const job = shell("(seq 150000; echo Traceback: the reason) >&2; exit 3")
  const page = await show(job)
  await press(page, "Run")
  await showsState(page, "Failed")
  await showsLog(page, "Traceback: the reason")
  const lines = await downloaded(page)
  assert.deepEqual([lines.length, lines[0], lines[149_999]], [150_001, "1", "150000"])
  const id = await idOf(page)
  await closePage(page)
  for (const address of [stack.page({ job, queue: stack.queue }), `${stack.url}/j/${id}#?queue=${stack.queue}`]) {
    const other = await openPage(browser)
    await other.goto(address)
    await showsLog(other, "Traceback: the reason")
    await until(async () => (await countOf(other)).includes("150,001 lines"), "all lines are counted")
    await closePage(other)
  }
})

test("of a log that is longer than the page keeps, the rest is counted and in the download", async () => {
  const page = await show(shell("seq 260000; echo the last"))
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await showsLog(page, "the last")
  assert.match(await countOf(page), /^260,001 lines, the last [\d,]+ here$/)
  const lines = await downloaded(page)
  assert.deepEqual([lines.length, lines[0], lines[130_000], lines.at(-1)], [260_001, "1", "130001", "the last"])
  await closePage(page)
})

test("colours at the start of a line are seen, also on stderr and over the end of a line", async () => {
  const script = [
    String.raw`printf "\033[31mred from the start\033[0m plain\n"`, String.raw`printf "\033[32mgreen on stderr\033[0m\n" >&2`,
    String.raw`printf "\033[34mblue one\nblue two\033[0m\n"`, "echo over",
  ].join("; ")
  const page = await show(shell(script))
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await showsLog(page, "over")
  const colourOf = (text) => page.locator(".xterm-rows span", { hasText: text }).last().getAttribute("class")
  for (const [text, colour] of [["red from the start", 1], ["green on stderr", 2], ["blue one", 4], ["blue two", 4]]) {
    assert.match(await colourOf(text), new RegExp(`xterm-fg-${colour}\\b`), text)
  }
  assert.doesNotMatch((await colourOf("over")) ?? "", /xterm-fg-/)
  await closePage(page)
})

test("who comes in the middle of equal lines sees each once, while the job runs", async () => {
  const job = shell("yes same | head -n 80; sleep 12; yes same | head -n 50; sleep 60")
  const id = await stack.submit(job)
  await until(async () => (await stack.get(`/q/${stack.queue}/j/${id}/run-logs.json`))?.data.length === 80, "the first lines")
  const page = await show(job)
  await until(async () => (await countOf(page)).startsWith("80 lines"), "the log so far")
  await until(async () => (await countOf(page)).startsWith("130 lines"), "all lines")
  await showsState(page, "Running")
  await press(page, "Stop")
  await closePage(page)
})

test("a job that runs again shows the lines of its own run, there and on its page", async () => {
  const job = shell("echo run number $RANDOM$RANDOM; sleep 1; echo ended")
  const page = await show(job)
  await press(page, "Run")
  await showsState(page, "Succeeded")
  await showsLog(page, "ended")
  const first = /run number (\d+)/.exec(await readLog(page))[1]
  await press(page, "Run again")
  await until(async () => {
    const rows = await readLog(page)
    assert.ok(!(rows.includes(first) && rows.match(/run number/g).length > 1), rows)
    return rows.includes("ended") && !rows.includes(first)
  }, "the lines of the second run alone")
  const id = await idOf(page)
  await page.goto(`${stack.url}/j/${id}#?queue=${stack.queue}`)
  await showsLog(page, "ended")
  assert.ok(!(await readLog(page)).includes(first))
  await closePage(page)
})
