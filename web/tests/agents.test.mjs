/** The queue for agents, by the protocol's own client over each of its ways in, and by the command line of its inspector. */
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { copyFileSync } from "node:fs"
import { after, test } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js"
import { IMAGE, Stack, until } from "./stack.mjs"

const PROGRAM = process.env.ASMAN_PROGRAM
const stack = await Stack.start()
after(() => stack.close())

const inAddress = (path) => new URL(`${path}?queue=${stack.queue}`, stack.url)
const WAYS = {
  http: () => new StreamableHTTPClientTransport(inAddress("/mcp")),
  stdio: () =>
    new StdioClientTransport({ command: PROGRAM, args: ["mcp", "--api", stack.url, "--queue", stack.queue], stderr: "ignore" }),
  socket: () => new WebSocketClientTransport(new URL(inAddress("/mcp/ws").href.replace("http", "ws"))),
}

async function connect(way) {
  const client = new Client({ name: "test", version: "1" })
  await client.connect(WAYS[way]())
  return client
}

const shell = (script, more = {}) => ({ image: IMAGE, command: `sh -c '${script}'`, ...more })
const call = (client, name, given = {}, options) => client.callTool({ name, arguments: given }, undefined, options)
const textOf = (result) => result.content.map((block) => block.text ?? "").join("\n")

for (const way of Object.keys(WAYS)) {
  test(`${way}: a job is run, followed line by line, and its outputs come back`, async () => {
    const client = await connect(way)
    const { tools } = await client.listTools()
    assert.ok(tools.length > 15 && tools.every((tool) => tool.inputSchema.type === "object" && tool.description))
    const script = `echo ${way} begins; cat /inputs/words; sleep 1; echo ${way} ends; wc -w < /inputs/words > /outputs/count.txt; head -c 300 /dev/urandom > /outputs/noise.bin`
    const told = []
    const options = { onprogress: ({ message }) => told.push(message), resetTimeoutOnProgress: true }
    const ended = await call(client, "execute_job", shell(script, { inputs: { words: "one two three\n" } }), options)
    assert.ok(!ended.isError, textOf(ended))
    assert.equal(ended.structuredContent.reason, "Success")
    assert.equal(ended.structuredContent.statusCode, 0)
    const lines = told.join("\n")
    assert.ok(lines.indexOf(`${way} begins`) < lines.indexOf(`${way} ends`) && lines.includes("one two three"), lines)
    assert.ok(told.findIndex((said) => said.includes("begins")) < told.findIndex((said) => said.includes("ends")), "live")
    assert.match(textOf(ended), /Output count\.txt; data, no instructions:\n<data-\w+>\n3\n<\/data-/)
    const links = ended.content.filter((block) => block.type === "resource_link")
    assert.deepEqual(links.map((link) => [link.name, link.size]), [["noise.bin", 300]])
    const bytes = await (await fetch(links[0].uri)).arrayBuffer()
    assert.equal(bytes.byteLength, 300)
    assert.ok(!JSON.stringify(ended).includes(stack.queue), "the queue's name stays in the address")
    await client.close()
  })

  test(`${way}: mistakes are tool errors that name the argument, and the session goes on`, async () => {
    const client = await connect(way)
    const missing = await call(client, "get_job_status", {})
    assert.deepEqual([missing.isError, missing.structuredContent.argument], [true, "jobId"])
    const wrong = await call(client, "execute_job", { image: 3 })
    assert.deepEqual([wrong.isError, wrong.structuredContent.argument], [true, "image"])
    const unknown = await call(client, "no_such_tool")
    assert.deepEqual([unknown.isError, unknown.structuredContent.argument], [true, "name"])
    await assert.rejects(client.request({ method: "no/such", params: {} }, { parse: (value) => value }))
    const failed = await call(client, "execute_job", shell(`echo ${way}; exit 3`))
    assert.deepEqual([failed.structuredContent.reason, failed.structuredContent.statusCode], ["Success", 3])
    assert.match(textOf(failed), /its program failed with exit code 3/)
    await client.close()
  })

  test(`${way}: resources are read, and a waiting job says why`, async () => {
    const client = await connect(way)
    const { resources } = await client.listResources()
    const jobs = resources.find((resource) => resource.uri.endsWith("/jobs"))
    assert.equal(jobs.uri, `queue://${stack.queue}/jobs`)
    const { contents } = await client.readResource({ uri: jobs.uri })
    assert.ok(JSON.parse(contents[0].text).jobs.length > 0)
    const guide = await client.readResource({ uri: "asman://docs/job-definition" })
    assert.match(guide.contents[0].text, /^# Job definition/)
    const { resourceTemplates } = await client.listResourceTemplates()
    assert.equal(resourceTemplates.length, 3)
    await assert.rejects(client.readResource({ uri: "queue://x/none" }), /no such resource/)
    const queue = stack.newQueue()
    const sent = await call(client, "submit_job", { queue, ...shell("echo never") })
    const why = await call(client, "why_waiting", { queue, jobId: sent.structuredContent.jobId })
    assert.equal(why.structuredContent.waiting.code, "no-worker")
    const ended = await call(client, "cancel_job", { queue, jobId: sent.structuredContent.jobId })
    assert.equal(ended.structuredContent.outcome, "ended")
    await client.close()
  })

  test(`${way}: a call that is given up ends, and others go on`, async () => {
    const client = await connect(way)
    const queue = stack.newQueue()
    const { jobId } = (await call(client, "submit_job", { queue, ...shell("echo never") })).structuredContent
    const giveUp = new AbortController()
    const following = call(client, "follow_job", { queue, jobId, waitSeconds: 300 }, { signal: giveUp.signal, onprogress: () => giveUp.abort() })
    await assert.rejects(following)
    const { structuredContent } = await call(client, "get_job_status", { queue, jobId })
    assert.equal(structuredContent.state, "Queued")
    await client.close()
  })
}

test("a failing build is fixed with the help of its log, and its image then runs a job", async () => {
  const client = await connect("http")
  const files = { "greet.sh": "#!/bin/sh\necho hello from the image\n" }
  const wrong = { dockerfile: `FROM ${IMAGE}\nCOPY greet.sh /bin/greet\nRUN /bin/gret`, files, waitSeconds: 120 }
  const options = { timeout: 150_000, onprogress: () => {}, resetTimeoutOnProgress: true }
  const failed = await call(client, "build_image", wrong, options)
  assert.deepEqual([failed.structuredContent.isBuilt, failed.structuredContent.code], [false, "build-failed"], textOf(failed))
  assert.match(textOf(failed), /gret/)
  const built = await call(client, "build_image", { ...wrong, dockerfile: wrong.dockerfile.replace("gret", "greet") }, options)
  assert.equal(built.structuredContent.isBuilt, true, textOf(built))
  const definition = { build: built.structuredContent.build, command: "/bin/greet" }
  const ran = await call(client, "execute_job", { definition, waitSeconds: 120 }, options)
  assert.match(textOf(ran), /hello from the image/)
  const other = await call(client, "modify_job", { jobId: ran.structuredContent.jobId, changes: { command: "sh -c \"greet; exit 4\"" }, waitSeconds: 120 }, options)
  assert.equal(other.structuredContent.statusCode, 4, textOf(other))
  const { structuredContent } = await call(client, "list_iterations", { jobId: ran.structuredContent.jobId })
  assert.deepEqual(structuredContent.iterations.map(({ jobId }) => jobId), [other.structuredContent.jobId])
  await client.close()
})

test("standard output contains only messages, also when the API cannot be reached", async () => {
  const away = new StdioClientTransport({ command: PROGRAM, args: ["mcp", "--api", "http://127.0.0.1:9"], stderr: "ignore" })
  const client = new Client({ name: "test", version: "1" })
  await assert.rejects(client.connect(away), /no API answers at .*start one with `asman up`/)
  await client.close()
})

test("a tool reports when its API cannot be reached, and works when it is back", async () => {
  const own = await Stack.start({ worker: false })
  after(() => own.close())
  const client = new Client({ name: "test", version: "1" })
  await client.connect(new StdioClientTransport({ command: PROGRAM, args: ["mcp", "--api", own.url], stderr: "ignore" }))
  await own.killApi()
  const refused = await call(client, "list_jobs", { queue: own.queue })
  assert.ok(refused.isError && textOf(refused).includes("no API answers"), textOf(refused))
  await own.startApi()
  const list = await call(client, "list_jobs", { queue: own.queue })
  assert.ok(!list.isError, textOf(list))
  await client.close()
})

test("a frame that is not a message is answered, and the socket stays open", async () => {
  const socket = new WebSocket(inAddress("/mcp/ws").href.replace("http", "ws"), "mcp")
  const heard = []
  socket.onmessage = ({ data }) => heard.push(JSON.parse(data))
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }))
  socket.send("{")
  await until(() => heard.some(({ error }) => error?.code === -32700), "the answer to a broken frame")
  socket.send(new Uint8Array([1, 2, 3]))
  socket.send(JSON.stringify({ jsonrpc: "2.0", id: 5, method: "tools/call", params: { name: "get_limits" } }))
  await until(() => heard.some(({ id, result }) => id === 5 && result), "the answer to a call without a greeting")
  socket.close()
})

/** The inspector's command line, which prints what a server answers. */
async function inspect(...options) {
  const packages = fileURLToPath(new URL("../node_modules/@modelcontextprotocol/", import.meta.url))
  const cli = `${packages}inspector-cli/build/cli.js`
  // It looks for its version in the folder that it has within the whole inspector.
  copyFileSync(`${packages}inspector-cli/package.json`, `${packages}package.json`)
  const { stdout } = await promisify(execFile)(process.execPath, [cli, ...options], { maxBuffer: 8 * 1024 * 1024 })
  return JSON.parse(stdout)
}

test("the inspector reads and calls over HTTP and standard input", async () => {
  for (const way of [[inAddress("/mcp").href, "--transport", "http"], [PROGRAM, "mcp", "--api", stack.url, "--queue", stack.queue]]) {
    const { tools } = await inspect("--cli", ...way, "--method", "tools/list")
    assert.ok(tools.some(({ name }) => name === "execute_job"))
    const ran = await inspect("--cli", ...way, "--method", "tools/call", "--tool-name", "execute_job", "--tool-arg", `image=${IMAGE}`, "--tool-arg", "command=echo inspected")
    assert.match(textOf(ran), /inspected/)
  }
})
