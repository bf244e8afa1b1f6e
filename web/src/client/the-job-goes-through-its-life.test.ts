import { expect, test } from "vitest"
import type { Job } from "../wire.ts"
import { b64, ended, finished, fragment, idOf, inFakeTime, results, wait, world } from "./world.fake.ts"

inFakeTime()

test("without an image it is empty, without a queue it says so, and a broken link blanks nothing", async () => {
  const { client } = await world("#?queue=q&job=broken")
  expect([client.job.phase, client.problems.map(({ key }) => key)]).toEqual(["empty", ["hash:job"]])
  client.params.setJob({ image: "a" })
  client.params.setQueue("")
  await wait(500)
  expect(client.job.phase).toBe("no-queue")
})

test("a click shows submitting at once and sends one submission, which the server confirms", async () => {
  const { client, server } = await world(fragment("x"))
  server.opens()
  client.run()
  client.run()
  expect(client.job.phase).toBe("submitting")
  await wait(300)
  const id = idOf("x")
  expect(server.changes()).toHaveLength(1)
  expect(server.changes()[0]).toEqual({
    state: "Queued", job: id, tag: "",
    value: { type: "Queued", time: expect.any(Number),
      enqueued: { id, definition: { image: "a", command: "x" }, control: { namespace: "_" } } },
  })
  server.tells({ [id]: { state: "Queued" } }, false)
  expect(client.job.phase).toBe("queued")
  await wait(10)
  expect(client.history.map(({ id: run, phase, queue }) => [run, phase, queue])).toEqual([[id, "queued", "q"]])
})

test("the job is asked for on every opening and after every change, and its earlier result shows without a run", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}, { StatusCode: 3 }) })
  await wait(1_000)
  server.opens()
  expect(server.messages()).toContainEqual({ type: "QueryJob", payload: { jobId: id } })
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect([client.job.phase, client.job.result?.StatusCode]).toEqual(["failed", 3])
  expect(client.job.explanation).toBe("The program ended with exit code 3.")
})

test("a result that another client removes disappears, and one that the server keeps stays", async () => {
  const { client, server, database } = await world(fragment("x"))
  const id = idOf("x")
  server.opens()
  expect(client.job.isOnServer).toBe(false)
  results(server, { [id]: finished({}) })
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect([client.job.phase, client.job.isOnServer, client.job.log.length]).toEqual(["succeeded", true, 1])
  const vanishes = async (finishedReason: string): Promise<void> => {
    const record = { ...finished({}), finished: undefined, finishedReason, time: 20 }
    server.answers = () => Response.json({ data: { definition: {}, results: record } })
    server.says(JSON.stringify({ type: "ClearJobCache", payload: { jobId: id, namespace: "_" } }))
    await wait(10)
  }
  await vanishes("Success")
  expect([client.job.phase, client.job.log.length]).toEqual(["succeeded", 1])
  await vanishes("Deleted")
  expect([client.job.phase, client.job.result, client.job.log.length]).toEqual(["ready", undefined, 0])
  expect(client.job.explanation).toBe("Its result was cleared.")
  expect(await database.result(id)).toBeUndefined()
})

test("autostart submits once a connection while the server does not have the job, and never a job that it has", async () => {
  const { client, server } = await world(fragment("x", "&autostart=true"))
  for (let n = 0; n < 10; n++) {
    server.opens()
    server.tells({}, true)
    server.tells({}, false)
    await wait(900)
    server.closes()
    await wait(11_000)
  }
  const nFlapping = server.changes().length
  expect(nFlapping).toBeGreaterThan(0)
  expect(nFlapping).toBeLessThanOrEqual(10)
  server.opens()
  server.tells({ [idOf("x")]: { state: "Queued" } }, false)
  await wait(1_000)
  const nKnown = server.changes().length
  server.closes()
  await wait(11_000)
  server.opens()
  server.tells({ [idOf("x")]: { state: "Running" } }, false)
  await wait(3_000)
  expect(server.changes().length).toBe(nKnown)
  expect(client.job.phase).toBe("running")
})

test("a flapping socket whose server knows the job gets one submission of an automatic start", async () => {
  const { server } = await world(fragment("x", "&autostart=true"))
  for (let n = 0; n < 10; n++) {
    server.opens()
    server.tells({}, true)
    if (server.changes().length > 0) server.tells({ [idOf("x")]: { state: "Queued" } }, false)
    else server.tells({}, false)
    await wait(1_000)
    server.closes()
    await wait(11_000)
  }
  expect(server.changes()).toHaveLength(1)
})

test("stopping names the namespace, shows at once, and no late message of the server brings the job back", async () => {
  const { client, server } = await world(fragment("x", `&autostart=true&control=${b64({ namespace: "mine" })}`))
  server.opens()
  server.tells({}, false)
  await wait(300)
  server.tells({ [idOf("x")]: { state: "Running", time: 5 } }, false)
  client.stop()
  expect(client.job.phase).toBe("cancelled")
  expect(server.changes().at(-1)).toMatchObject({ state: "Finished",
    value: { reason: "Cancelled", namespace: "mine", message: "Job cancelled by client" } })
  server.tells({ [idOf("x")]: { state: "Running", time: 5 } }, true)
  server.closes()
  await wait(11_000)
  server.opens()
  server.tells({}, false)
  await wait(5_000)
  expect(client.job.phase).toBe("cancelled")
  expect(server.changes().filter(({ state }) => state === "Queued")).toHaveLength(1)
})

test("what was stopped before it was sent is never sent", async () => {
  const { client, server } = await world(fragment("x"))
  client.run()
  await wait(300)
  client.stop()
  server.opens()
  await wait(1_000)
  expect(server.changes().map(({ state }) => state)).toEqual(["Finished"])
})

test("running again deletes and queues in one step, and keeps the old result until the new one arrives", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({ a: { value: "old", type: "utf8" } }) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  client.runAgain()
  expect(client.job.phase).toBe("submitting")
  await wait(300)
  expect(server.changes().map(({ state, value }) =>
    [state, "reason" in value && value.reason])).toEqual([["Finished", "Deleted"], ["Queued", false]])
  server.tells({ [id]: ended }, true)
  expect(client.job.phase).toBe("submitting")
  server.tells({ [id]: { state: "Queued", time: 20, queuedTime: 20 } }, false)
  expect([client.job.phase, client.job.result?.outputs.a?.value]).toEqual(["queued", "old"])
  results(server, { [id]: finished({ a: { value: "new", type: "utf8" } }, {}, 30, 20) })
  server.tells({ [id]: { ...ended, time: 30, queuedTime: 20 } }, false)
  await wait(10)
  expect([client.job.phase, client.job.result?.outputs.a?.value]).toEqual(["succeeded", "new"])
})

test("an end that was not the job's fault looks different from the job's own, and the job runs again without removing its record", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  const failed: Job = { ...finished({}), finishedReason: "Error" }
  const end = { ...failed.finished!, reason: "Error", code: "pull-failed", fault: "network", message: "no such host" } as const
  results(server, { [id]: { ...failed, finished: end } })
  server.opens()
  server.tells({ [id]: { state: "Finished", finishedReason: "Error", time: 9 } }, false)
  await wait(10)
  expect([client.job.phase, client.job.fault]).toEqual(["error", "network"])
  expect(client.job.explanation).toContain("This was not your job's fault")
  client.runAgain()
  await wait(300)
  expect(server.changes().map(({ state, value }) => [state, value.enqueued?.control?.again])).toEqual([["Queued", true]])
  // It is not confirmed in time, and by then it has run: it does not run a third time.
  results(server, {})
  const record = { ...failed, queuedTime: 20, time: 30 }
  server.answers = (url) => Response.json({ data: url.endsWith(`/j/${id}`) ? { definition: {}, results: record } : null })
  await wait(10_000)
  expect(server.requests.filter(({ init }) => init.method === "POST")).toEqual([])
})

test("a job too large for the socket runs again by request, and not before the server has removed its old result", async () => {
  const { client, server, parent } = await world(fragment("x"))
  parent.listener.onInputs(Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`${"n".repeat(200)}${n}`, "x".repeat(190)])))
  await wait(1_000)
  const id = client.job.id!
  const old = finished({})
  let isThere = true
  const order: string[] = []
  server.answers = (url, { method }) => {
    if (method === "POST") order.push("post")
    else if (url.endsWith(`/j/${id}`)) order.push(isThere ? "there" : "gone")
    if (url.endsWith("result.json")) return Response.json({ data: old })
    return Response.json({ data: isThere ? { definition: {}, results: old } : null })
  }
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(100)
  expect(client.job.phase).toBe("succeeded")
  client.runAgain()
  await wait(1_000)
  expect(server.changes().map(({ value }) => "reason" in value && value.reason)).toEqual(["Deleted"])
  expect([client.job.phase, order.includes("post"), order.includes("there")]).toEqual(["submitting", false, true])
  isThere = false
  await wait(600)
  expect(order.slice(order.indexOf("gone"), order.indexOf("gone") + 2)).toEqual(["gone", "post"])
  expect(order.filter((what) => what === "post")).toHaveLength(1)
})

test("clearing forgets the result here, in the database and on the server", async () => {
  const { client, server, database } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect(database.results.size).toBe(1)
  client.clearResult()
  expect([client.job.phase, client.job.result, database.results.size]).toEqual(["ready", undefined, 0])
  expect(server.changes()[0]).toMatchObject({ value: { reason: "Deleted", namespace: "_" } })
})

test("the wait is explained with the server's reason", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  server.answers = () => Response.json({
    jobs: { a: { state: "Queued" }, b: { state: "Queued" }, [id]: { state: "Queued" } }, localWorkers: { w: {}, v: {} },
    waiting: [{ jobId: id, position: 3, why: "a worker that can run it takes it as soon as it has room" }],
  })
  server.opens()
  server.tells({ [id]: { state: "Queued" } }, false)
  expect(client.job.explanation).toBe("No worker is connected to this queue. Start one: the command is in the queue panel.")
  await wait(500)
  expect(client.job.explanation).toBe("Position 3 of 3. 2 workers are connected; a worker that can run it takes it as soon as it has room.")
})

test("a job that left the list while it was active is requested, and its replacement is shown", async () => {
  const { client, server } = await world(fragment("x", "&autostart=true"))
  const id = idOf("x")
  server.opens()
  server.tells({ [id]: { state: "Queued" } }, false)
  server.answers = () =>
    Response.json({ data: { definition: {}, results: { ...ended, finishedReason: "JobReplacedByClient", queuedTime: 1 } } })
  server.tells({}, true)
  await wait(1_000)
  expect([client.job.phase, server.changes()]).toEqual(["replaced", []])
})

test("a change that the socket does not confirm is sent by request, and a refusal shows the server's sentence", async () => {
  const { client, server } = await world(fragment("x"))
  server.opens()
  server.answers = (_, init) => init.method === "POST" ? Response.json({ error: "the queue is full" }, { status: 400 })
    : Response.json({})
  client.run()
  await wait(4_000)
  expect(client.problems.map(({ text }) => text)).toEqual(["The queue refuses the job: the queue is full."])
  expect(client.job.phase).toBe("ready")
})

test("while the image is prepared its stage is shown, and a container without output counts as running", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  server.opens()
  server.tells({ [id]: { state: "Queued" } }, false)
  server.tells({ [id]: { state: "Running", time: 5, worker: "w" } }, false)
  expect([client.job.phase, client.job.stage]).toEqual(["running", undefined])
  server.logs(id, "docker image pull", "pulling a:1", "1f7ce2fa46ab: Pulling fs layer", "2f7ce2fa46ab: Already exists")
  expect([client.job.phase, client.job.stage, client.job.explanation])
    .toEqual(["building", { kind: "pull", what: "a:1", done: 1, total: 2 }, "Worker w pulls a:1."])
  server.logs(id, "docker image pull", "1f7ce2fa46ab: Pull complete", "Status: Downloaded newer image for a:1")
  expect([client.job.phase, client.job.stage]).toEqual(["running", undefined])
})

test("a page that opens late reads the stage from the log, and an image that was built before shows a stage only briefly", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  const log = ["fetching https://host/tool", "the commit is abc"].map((line) => [line, Date.now()])
  server.answers = (url) => Response.json({ data: url.includes("build-logs") ? log : [], nextCursor: 1, isFinal: true })
  server.opens()
  server.tells({ [id]: { state: "Running" } }, false)
  await wait(100)
  expect([client.job.phase, client.job.stage?.kind]).toEqual(["building", "clone"])
  for (let n = 0; n < 4; n++) {
    await wait(4_000)
    server.says("PONG")
  }
  expect(client.job.phase).toBe("running")
  server.logs(id, "docker build", "building asman/build:1", "Step 1/2 : FROM a")
  expect([client.job.phase, client.job.stage]).toEqual(["building", { kind: "build", what: "FROM a", done: 1, total: 2 }])
  server.logs(id, "Running", "first word")
  expect(client.job.phase).toBe("running")
})

test("a run whose result the server has already is in the history with its end", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  client.run()
  await wait(300)
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect(client.job.phase).toBe("succeeded")
  expect(client.history.map(({ id: run, phase }) => [run, phase])).toEqual([[id, "succeeded"]])
})

test("a requested run changes nothing in the earlier runs of the history", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}) })
  server.opens()
  client.run()
  await wait(300)
  server.tells({ [id]: ended }, false)
  await wait(10)
  client.params.setJob({ image: "a", command: "y" })
  client.run()
  expect(client.job.phase).toBe("submitting")
  await wait(1_000)
  expect(client.history.map(({ id: run, phase }) => [run, phase])).toEqual([[idOf("y"), "submitting"], [id, "succeeded"]])
})
