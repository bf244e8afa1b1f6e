import { expect, test } from "vitest"
import type { FakeServer } from "../queue/server.fake.ts"
import { Guard } from "./guard.svelte.ts"
import { b64, fragment, idOf, inFakeTime, wait, world } from "./world.fake.ts"

inFakeTime()

const changes = (server: FakeServer): string[] => server.changes().map(({ is }) => is)

/** A client of a local instance at https://host. `now.ms` is for how long its window has been in front. */
async function own(hash: string, { isFramed = false, now = { ms: 10_000 } } = {}) {
  const guard = new Guard({ isLocalInstance: true, isFramed, base: "https://host", sinceFront: () => now.ms, isPressed: () => true })
  const made = await world(hash, undefined, guard)
  made.server.answers = () => Response.json({ data: null })
  return made
}

test("neither an autostart link nor the parent's inputs and job run or upload anything", async () => {
  for (const isFramed of [true, false]) {
    const { server, parent, client } = await own(fragment("x", "&autostart=true&allowsetjob=true"), { isFramed })
    server.opens()
    server.tells({}, false)
    await wait(5_000)
    parent.connects()
    parent.listener.onInputs({ "a.txt": "x".repeat(5_000), job: JSON.stringify({ image: "a", command: "theirs" }) })
    await wait(5_000)
    expect(client.job.definition).toMatchObject({ command: "theirs" })
    expect(changes(server)).toEqual([])
    expect(server.requests.filter(({ init }) => init.method === "POST" || init.method === "PUT")).toEqual([])
  }
})

test("in a frame no press counts, and the page says why", async () => {
  const { server, client } = await own(fragment("x"), { isFramed: true })
  server.opens()
  server.tells({ [idOf("x")]: { state: "Running" } }, true)
  await wait(500)
  for (const press of [client.run, client.runAgain, client.stop, client.clearResult]) press.call(client)
  client.addFiles([new File(["secret".repeat(1_000)], "secret.txt")])
  client.queue.cancel(idOf("x"))
  await wait(5_000)
  expect(changes(server)).toEqual([])
  expect(server.requests.filter(({ init }) => (init.method ?? "GET") !== "GET")).toEqual([])
  expect(client.files).toEqual([])
  expect(client.problems.map(({ key }) => key)).toEqual(["guard"])
})

test("in a separate window a press runs the job, but not at the moment when the window comes to the front", async () => {
  const now = { ms: 100 }
  const { server, client } = await own(fragment("x", "&autostart=true"), { now })
  server.opens()
  server.tells({}, false)
  await wait(3_000)
  client.run()
  await wait(500)
  expect([changes(server), client.job.phase]).toEqual([[], "ready"])
  now.ms = 10_000
  client.run()
  await wait(500)
  expect(changes(server)).toEqual(["submit"])
  expect(client.problems).toEqual([])
})

test("a link from a frame leads to the same job, its parent's inputs included", async () => {
  const { parent, client } = await own(fragment("x", "&v=1"), { isFramed: true })
  parent.connects()
  parent.listener.onInputs({ "a.txt": "long ".repeat(1_000), "b.bin": new Uint8Array([1, 2, 3]), "c.json": { a: [1] } })
  await wait(500)
  const other = await own((await client.link())!)
  await wait(500)
  expect(other.client.job.id).toBe(client.job.id)
  expect(Object.keys(other.client.job.definition?.inputs ?? {})).toEqual(["a.txt", "b.bin", "c.json"])
  parent.listener.onInputs({ huge: new Uint8Array(3_000_000) })
  await wait(500)
  expect(await client.link()).toBeUndefined()
})

test("a queue that the parent sets on this machine is restricted on every server's page", async () => {
  const guard = new Guard({ isLocalInstance: false, isFramed: true, base: "https://host", sinceFront: () => 0, isPressed: () => true })
  const { server, address } = await world(fragment("x", "&autostart=true"), undefined, guard)
  await wait(10)
  address.write(`#?job=${b64({ image: "a", command: "x" })}&queue=local&autostart=true`)
  await wait(100)
  expect(server.urls.at(-1)).toMatch(/^ws:\/\/localhost:8000\//)
  server.opens()
  server.tells({}, false)
  await wait(5_000)
  expect(changes(server)).toEqual([])
})
