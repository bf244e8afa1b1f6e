// Fills the queue `q` of a running API with a job in every state, and prints what the API answers about them.
//
//   node fill.mjs http://localhost:8000 > answers.json
//
// Run it with the program of one release, before a release that changes the schema: `pg_dump --no-owner --inserts` of its
// database, without the lines that begin with a backslash, and these answers are what the next release's upgrade is tested with.

const api = process.argv[2]

async function call(method, path, body) {
  const request = { method, headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) }
  const response = await fetch(`${api}${path}`, request)
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text ? JSON.parse(text) : undefined
}

const submit = async (definition, control, id) => (await call("POST", "/q/q", { id, definition, control })).jobId
const items = (path, body) => call("POST", `/q/q/api/v1/queue/${path}`, body)

// The worker's claims live for a day, so that they are still live after the upgrade.
async function claim(tags = []) {
  const worker = { id: "w", version: "0", cpus: 4, gpus: 1, memory: 8e9, tags, maxJobDuration: "1h", executor: "docker" }
  const free = { cpus: 4, gpus: 1, memory: 8e9, jobs: 1 }
  const { jobs: [job] } = await call("POST", "/q/q/claim", { worker, free, wait: "10s" })
  return { id: job.jobId ?? job.hash, epoch: job.epoch, job }
}

async function log({ id, epoch }, seq, step, lines) {
  const timed = lines.map((line) => [line, 1_700_000_000_000])
  await call("POST", `/q/q/j/${id}/logs`, { epoch, seq, step, lines: timed })
}

const finish = ({ id, epoch }, reason, result) => call("POST", `/q/q/j/${id}/finish`, { epoch, reason, result })
const result = (StatusCode, outputs = {}) => ({ StatusCode, isTimedOut: false, outputs })
const plain = (n) => ({ image: "alpine:3.20", command: `echo ${n}` })

// First, while no container job waits: a claim of items takes those too.
await items("put", { done: { a: 1 }, failed: 2, held: [3] })
const held = await items("claim", { n_items: 3, worker_id: "w", lease_seconds: 8e5 })
const epochOf = (id) => held.find((item) => item.item_id === id).epoch
await items("success/done", { epoch: epochOf("done"), result: { score: 1 } })
await items("fail/failed", { epoch: epochOf("failed"), error: "broken" })

const jobs = {}

jobs.succeeded = await submit({ ...plain("succeeded"), inputs: { "in.txt": { value: "an input" } } })
let claimed = await claim()
await log(claimed, 0, "docker build", ["pulled"])
await log(claimed, 1, "Running", ["hello", "é"])
await finish(claimed, "Success", result(0, { "out.txt": { value: "made" } }))

jobs.failed = await submit(plain("failed"))
claimed = await claim()
await log(claimed, 0, "Running", ["no such thing"])
await finish(claimed, "Error", { ...result(1), error: "no such image" })

jobs.timedOut = await submit({ ...plain("timed out"), maxDuration: "1s" })
await finish(await claim(), "TimedOut", { ...result(137), isTimedOut: true })

jobs.cancelled = await submit(plain("cancelled"))
await call("POST", `/q/q/j/${jobs.cancelled}/cancel`, {})

// Sent by a page with another rule for ids: by this release's rule the id does not belong to this job.
jobs.byPage = await submit({ ...plain("by a page"), env: {} }, undefined, "a".repeat(64))
await finish(await claim(), "Success", result(0))

jobs.built = await submit({ build: { dockerfile: "FROM alpine:3.20\nRUN true\n" }, command: "true" })
await finish(await claim(), "Success", result(0))

jobs.running = await submit({ ...plain("running"), env: { A: "1" } })
const running = await claim()
await log(running, 0, "Running", ["halfway"])

jobs.waiting = await submit({ ...plain("waiting"), requirements: { cpus: 2, memory: "1GiB" } }, { namespace: "n", priority: 3 })
jobs.waitingForTags = await submit({ ...plain("tagged"), tags: ["rare"] })
jobs.waitingForNobody = await submit({ ...plain("large"), requirements: { cpus: 4000 } })
jobs.replaced = await submit(plain("replaced"), { namespace: "page" })
jobs.replacing = await submit(plain("replacing"), { namespace: "page" })

await items("put", { waits: "4" })

const answers = {}
for (const [name, id] of Object.entries(jobs)) {
  answers[name] = { id }
  for (const what of ["result.json", "definition.json", "history.json", "namespaces.json"]) {
    const response = await fetch(`${api}/q/q/j/${id}/${what}`)
    answers[name][what] = { status: response.status, body: await response.json() }
  }
}
console.log(JSON.stringify({ running, item: { id: "held", epoch: epochOf("held") }, jobs: answers }, undefined, 1))
