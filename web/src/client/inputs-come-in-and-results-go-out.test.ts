import { expect, test, vi } from "vitest"
import { b64, ended, finished, fragment, idOf, inFakeTime, results, urlsOf, wait, world } from "./world.fake.ts"

inFakeTime()

test("only the current job's result is loaded, once, though many jobs finish and the server repeats itself", async () => {
  const { server } = await world(fragment("x"))
  const id = idOf("x")
  results(server, { [id]: finished({}) })
  server.opens()
  for (let n = 0; n < 5; n++) server.tells({ [id]: ended, other: ended, third: ended }, n % 2 === 0)
  await wait(100)
  for (let n = 0; n < 5; n++) server.tells({ [id]: ended, other: ended }, true)
  await wait(100)
  expect(urlsOf(server, "result.json")).toEqual([`https://host/q/q/j/${id}/result.json`])
})

test("each job's outputs are delivered once and as its own, and names that disappeared are sent as undefined", async () => {
  const { client, server, parent } = await world(fragment("0"))
  const ids = ["0", "1", "2"].map((command) => idOf(command))
  results(server, Object.fromEntries(ids.map((id, n) =>
    [id, finished({ [`only${n}`]: { value: `${n}`, type: "utf8" }, key: { value: `k${n}`, type: "key" } })])))
  server.opens()
  parent.connects()
  for (const n of [0, 1, 2, 0]) {
    client.params.setJob({ image: "a", command: `${n}` })
    await wait(1_000)
    expect(client.job.id).toBe(ids[n])
    server.tells({ [ids[n]!]: ended }, false)
    await wait(10)
    server.tells({ [ids[n]!]: ended }, true)
    await wait(10)
  }
  const key = (n: number): object => ({ key: { value: `https://host/f/k${n}`, type: "url" } })
  expect(parent.sent).toEqual([
    { only0: { value: "0", type: "utf8" }, ...key(0) },
    { only1: { value: "1", type: "utf8" }, ...key(1), only0: undefined },
    { only2: { value: "2", type: "utf8" }, ...key(2), only1: undefined },
    { only0: { value: "0", type: "utf8" }, ...key(0), only2: undefined },
  ])
  expect(Object.keys(parent.sent[1]!)).toContain("only0")
  expect(client.metaframe.delivered?.jobId).toBe(ids[0])
})

test("a parent that comes late gets the outputs, and one that sets jobs the status too", async () => {
  const { server, parent } = await world(fragment("x", "&allowsetjob=true"))
  const id = idOf("x")
  results(server, { [id]: finished({}, { logs: [["out ", 1], ["err", 2, true]], duration: 12 }) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  expect(parent.sent).toEqual([])
  parent.connects()
  expect(parent.sent).toEqual([{ "job/result.json": {
    stdout: [["out", 1]], stderr: [["err", 2, true]], statusCode: 0, error: undefined, duration: 12, isTimedOut: false,
    url: `https://host/q/q/j/${id}`,
  } }])
})

test("a parent is told that a long log is not whole, and where the whole log is", async () => {
  const { server, parent } = await world(fragment("x", "&allowsetjob=true"))
  const id = idOf("x")
  const logsOmitted = { lines: 90, url: "run-logs.json" }
  results(server, { [id]: finished({}, { logs: [["the end", 1]], logsOmitted }) })
  server.opens()
  server.tells({ [id]: ended }, false)
  await wait(10)
  parent.connects()
  expect(parent.sent[0]!["job/result.json"]).toMatchObject({ stdout: [["the end", 1]], logsOmitted })
})

test("inputs that come in a burst are one rebuild with all of them, and job is no file", async () => {
  const { client, server, parent } = await world(fragment("x", "&autostart=true"))
  server.opens()
  parent.connects()
  for (let n = 0; n < 10; n++) {
    parent.listener.onInputs({ [`/f${n}`]: `${n}`, job: { image: "never" } })
    await wait(20)
  }
  await wait(300)
  server.tells({}, false)
  await wait(300)
  expect(server.changes()).toHaveLength(1)
  expect(Object.keys(client.job.definition!.inputs!)).toEqual(Array.from({ length: 10 }, (_, n) => `f${n}`))
  expect(client.files).toHaveLength(10)
})

test("with allowsetjob a job of either name, as an object or as JSON, becomes the job of the fragment, once", async () => {
  const { client, parent, address } = await world("#?queue=q&allowsetjob=true")
  parent.listener.onInputs({ "metaframe/job": { image: "one" } })
  await wait(500)
  expect(address.hash).toContain(`job=${b64({ image: "one" })}`)
  parent.listener.onInputs({ job: '{"image":"two"}' })
  await wait(500)
  expect([client.params.job, client.files]).toEqual([{ image: "two" }, []])
  client.params.setJob({ image: "edited" })
  parent.listener.onInputs({ job: '{"image":"two"}', other: "x" })
  await wait(1_000)
  expect(client.params.job).toEqual({ image: "edited" })
  parent.listener.onInputs({ job: "not json" })
  await wait(500)
  expect(client.problems.map(({ key }) => key)).toEqual(["input:job"])
})

test("a page that opens while a job runs gets the log so far and continues without gaps or repeated lines", async () => {
  const { client, server } = await world(fragment("x"))
  const id = idOf("x")
  let answer: (response: Response) => void = () => {}
  server.answers = (url) => {
    if (url.includes("build-logs")) return Response.json({ data: [["pull", 0]], nextCursor: 1, isFinal: true })
    return new Promise((resolve) => { answer = resolve })
  }
  server.opens()
  server.tells({ [id]: { state: "Running" } }, false)
  await wait(10)
  server.numbered(id, "Running", 3, "two", "three")
  answer(Response.json({ data: [["one", 5], ["two", 0]], nextCursor: 2, isFinal: true }))
  await wait(50)
  server.numbered(id, "Running", 4, "four")
  server.logs("another", "Running", "foreign")
  const texts = Array.from({ length: client.job.log.length }, (_, n) => client.job.log.at(n)!.text)
  expect(texts).toEqual(["pull", "one", "two", "three", "four"])
})

test("the longest run of the parameter goes into the control, where it does not change the id", async () => {
  const { client, server } = await world(fragment("x", "&maxJobDuration=5m&debug=true"))
  server.opens()
  client.run()
  await wait(300)
  expect(client.job.id).toBe(idOf("x"))
  expect(server.changes()[0]).toMatchObject({ job: { control: { namespace: "_", maxDuration: "5m" }, debug: true } })
})

test("a variable that alone changes leads to another job", async () => {
  const { client, address } = await world(fragment("x", "&v=1"))
  const before = client.job.id
  address.write(fragment("x", "&v=2"))
  await wait(500)
  expect(client.job.id).toBe(idOf("x", { env: { v: "2" } }))
  expect(client.job.id).not.toBe(before)
})

test("a result kept here shows before the server answers, and history survives a reload", async () => {
  const first = await world(fragment("x"))
  const id = idOf("x")
  results(first.server, { [id]: finished({}) })
  first.server.opens()
  first.client.run()
  await wait(300)
  first.server.tells({ [id]: ended }, false)
  await wait(10)
  first.client.dispose()
  const { client } = await world(fragment("x"), first.database)
  await wait(10)
  expect([client.job.phase, client.history.map(({ phase }) => phase)]).toEqual(["succeeded", ["succeeded"]])
  client.forgetHistory()
  await wait(1)
  expect([client.history, first.database.kept]).toEqual([[], []])
})

test("dropped text becomes a file of the fragment, and other files become inputs that are removed again", async () => {
  const { client } = await world(fragment("x"))
  client.addFiles([new File(["print(1)"], "main.py"), new File([Uint8Array.of(0, 255)], "b.bin")])
  await vi.waitFor(() => expect(client.files).toHaveLength(1))
  await wait(500)
  expect(client.params.inputs).toEqual({ "main.py": "print(1)" })
  expect(client.job.definition?.inputs).toEqual({ "b.bin": { value: "AP8=", type: "base64" } })
  client.removeFile("b.bin")
  await wait(500)
  expect(client.job.definition?.inputs).toBeUndefined()
})
