/**
 * Screenshots of ten states of the page, light and dark, desktop and phone, into web/shots: `./x shots`. They are looked at, not
 * compared: fonts differ from machine to machine.
 */
import { mkdirSync, rmSync } from "node:fs"
import { IMAGE, Stack, openBrowser, openPage, openTab, press, shell, showsLog, showsState, until } from "./stack.mjs"

const FOLDER = new URL("../shots/", import.meta.url).pathname
const SIZES = { desktop: { viewport: { width: 1280, height: 800 } }, phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true } }

/** A part of a job that makes it another one than those of earlier shots. */
const another = (fresh) => ({ env: { SHOT: String(fresh) } })

const TABLE = String.raw`echo name,count,share > /outputs/words.csv; for w in the and of to a in that is was he; do n=$((n+37)); echo $w,$((1900/n)),0.$((9000/n)) >> /outputs/words.csv; done`

/** Each brings a page to its state. `fresh` is a number that no earlier shot had: it makes the job another one. */
const STATES = {
  "01-first-visit": async (page) => page.goto(stack.url),
  "02-ready": async (page) => {
    await page.goto(stack.page({ queue: stack.queue, job: { image: IMAGE, command: "sh /inputs/main.sh" }, inputs: { "main.sh": "# Counts to ten.\nfor i in $(seq 10); do\n  echo $i\ndone\n" } }))
    await showsState(page, "Ready to run")
  },
  "03-no-worker": async (page, fresh) => {
    await page.goto(stack.page({ queue: "nobody-serves-this", job: shell("echo hello", another(fresh)) }))
    await press(page, "Run")
    await showsState(page, "Queued")
    await until(async () => /no worker/i.test(await page.locator("header").innerText()), "the reason")
  },
  "04-running": async (page, fresh) => {
    const script = `echo warning: this is stderr >&2; for i in $(seq 1 100); do printf "\\rstep $i of 100"; sleep 0.3; done`
    await page.goto(stack.page({ queue: stack.queue, job: shell(script, another(fresh)) }))
    await press(page, "Run")
    await showsLog(page, "step")
  },
  "05-succeeded": async (page, fresh) => {
    await page.goto(stack.page({ queue: stack.queue, job: shell(`echo counting words; ${TABLE}; echo done`, another(fresh)) }))
    await press(page, "Run")
    await showsState(page, "Succeeded")
    await openTab(page, /Outputs/)
    await page.locator(".preview").first().waitFor()
  },
  "06-failed": async (page, fresh) => {
    await page.goto(stack.page({ queue: stack.queue, job: shell("echo about to fail >&2; nothing-of-this-name", another(fresh)) }))
    await press(page, "Run")
    await showsState(page, "Failed")
    await showsLog(page, "not found")
  },
  "07-settings": async (page) => {
    await page.goto(stack.page({ queue: stack.queue, job: shell("env", { env: { MODE: "fast" }, requirements: { cpus: 2, memory: "4g" } }) }))
    await openTab(page, /Settings/)
  },
  "08-queue": async (page) => {
    await page.goto(stack.page({ queue: stack.queue, job: shell("echo hello", another(0)) }))
    await openTab(page, /Queue/)
  },
  "09-job-page": async (page, fresh) => {
    const id = await stack.submit(shell(`echo one; echo two >&2; ${TABLE}`, another(fresh)))
    await stack.finished(id)
    await page.goto(`${stack.url}/j/${id}`)
    await page.getByText("words.csv").first().waitFor()
    await showsLog(page, "two")
  },
  "10-queue-page": async (page) => {
    await page.goto(`${stack.url}/q/${stack.queue}`)
    await page.getByText(/worker/i).first().waitFor()
  },
}

const stack = await Stack.start()
const browser = await openBrowser()
try {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  let fresh = 0
  for (const [state, bring] of Object.entries(STATES)) {
    for (const [size, options] of Object.entries(SIZES)) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await openPage(browser, { ...options, colorScheme })
        await bring(page, fresh++)
        // Fonts and the last frame.
        await page.evaluate(() => document.fonts.ready.then(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))))
        await page.screenshot({ path: `${FOLDER}${state}-${size}-${colorScheme}.png` })
        if (page.problems.length > 0) console.log(`${state} ${size} ${colorScheme}: ${page.problems.join("; ")}`)
        await page.context().close()
      }
    }
  }
  console.log(`screenshots are in ${FOLDER}`)
} finally {
  await browser.close()
  await stack.close()
}
