/** How the page shows ends that are not the job's fault, and incomplete results. The test itself is the worker. */
import assert from "node:assert/strict"
import { mkdirSync } from "node:fs"
import { test } from "node:test"
import { closePage, IMAGE, openPage, press, showsState, until, useStack } from "./stack.mjs"

const { stack, browser } = await useStack({ worker: false })

async function post(path, body) {
  const headers = { "content-type": "application/json" }
  const response = await fetch(`${stack.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) })
  assert.ok(response.ok, await response.clone().text())
  return response.json()
}

/** Claims the next job of a queue, as a worker does. */
async function claim(queue) {
  const worker = { id: "by-hand", version: "1", cpus: 4, gpus: 0, memory: 1e10, tags: [], maxJobDuration: "1h", executor: "docker" }
  const { jobs } = await post(`/q/${queue}/claim`, { worker, free: { cpus: 4, gpus: 0, memory: 1e10, jobs: 1 }, wait: "20s" })
  return jobs[0]
}

/** Ends a job; what is not said is a success without outputs. */
async function finish(queue, { id, jobId, epoch }, end) {
  const result = { logs: [], isTimedOut: false, outputs: {}, ...end.result }
  await post(`/q/${queue}/j/${id ?? jobId}/finish`, { epoch, ...end, result })
}

/** A picture for people, where they ask for some. */
async function picture(page, name) {
  if (!process.env.SHOTS) return
  mkdirSync(process.env.SHOTS, { recursive: true })
  await page.screenshot({ path: `${process.env.SHOTS}/${name}.png` })
}

async function open(command) {
  const queue = stack.newQueue()
  const page = await openPage(browser)
  await page.goto(stack.page({ job: { image: IMAGE, command }, queue }))
  return { queue, page }
}

test("an end that was not the job's fault says so, and Run again runs the job once more", async () => {
  for (const fault of ["network", "machine"]) {
    const { queue, page } = await open(`echo ${fault}`)
    await press(page, "Run")
    const first = await claim(queue)
    // The words of another program's error: nothing follows from them.
    const message = "manifest unknown: no such host: out of memory"
    await finish(queue, first, { reason: "Error", code: fault === "network" ? "pull-failed" : "engine-gone", fault, message })
    await showsState(page, "Not your job's fault")
    await page.locator("header .why", { hasText: "This was not your job's fault" }).waitFor()
    await picture(page, `fault-${fault}`)
    await press(page, "Run again")
    await showsState(page, "Queued")
    const second = await claim(queue)
    assert.equal(second.id ?? second.jobId, first.id ?? first.jobId)
    await finish(queue, second, { reason: "Success", result: { StatusCode: 0 } })
    await showsState(page, "Succeeded")
    await closePage(page)
  }
})

test("an end by the job's fault shows advice for its code", async () => {
  const { queue, page } = await open("nothing")
  await press(page, "Run")
  await finish(queue, await claim(queue), { reason: "Error", code: "command-not-found", fault: "job", message: "des Wort sagt nichts" })
  await showsState(page, "Could not run")
  await page.locator("header .why", { hasText: "Check the command's spelling" }).waitFor()
  await closePage(page)
})

test("a result that lacks outputs says at the outputs how many, which and why", async () => {
  const { queue, page } = await open("make much")
  await press(page, "Run")
  const why = [
    { code: "too-many", outputs: 10_001, names: ["out/10000.txt", "out/10001.txt"], message: "a result holds 10,000 files at most" },
    { code: "link", outputs: 1, names: ["\u202elatest"], message: "it is a link that leads out of /outputs" },
  ]
  const job = await claim(queue)
  const outputs = { "kept.txt": { type: "utf8", value: "kept" } }
  await finish(queue, job, { reason: "Success", result: { StatusCode: 0, outputs, missing: { outputs: 10_002, why } } })
  await showsState(page, "Succeeded")
  const said = page.getByRole("region", { name: "Outputs" }).getByRole("alert")
  await said.waitFor()
  const text = await said.innerText()
  for (const part of ["10,002 outputs are missing", "10,001: a result holds", "out/10000.txt", "⟨U+202E⟩latest"]) {
    assert.ok(text.includes(part), `${part} in ${text}`)
  }
  await picture(page, "missing")
  await page.goto(`${stack.url}/j/${job.id ?? job.jobId}#?queue=${queue}`)
  await until(() => page.getByText("10,002 outputs are missing").first().isVisible(), "the same on the job's own page")
  await picture(page, "missing-job")
  await closePage(page)
})
