// A scripted client for screenshots of states. Loaded in development alone.
import type { Client, Params, PastRun, Phase } from "../client/client.ts"
import { Lines } from "../log/lines.ts"
import type { DataRef, Definition, LogLine } from "../wire.ts"

const PHASES: Record<string, Phase> = { empty: "empty", noqueue: "no-queue", ready: "ready", queued: "queued", running: "running", lost: "lost", done: "succeeded", failed: "failed", error: "error" }

export function makeFake(name: string): Client {
  const job: Definition = { image: "python:3.12-slim", command: "python /inputs/main.py --epochs 40", env: { MODE: "fast" }, requirements: { gpus: 1 } }
  const id = "fdb42b78f6c49c3f0164710528565bb1434bd04b95d6b7cbf3301ad2fe8e14fc"
  let phase = $state<Phase>(PHASES[name] ?? "succeeded")
  let params = $state({
    job: name === "empty" ? undefined : job, queue: name === "empty" || name === "noqueue" ? "" : "q-abcdefghijkmnpqrstuvwxyz23456789",
    inputs: (name === "empty" ? {} : { "main.py": "import time\n\n# Trains a model.\nfor epoch in range(40):\n    print(f\"epoch {epoch}\")\n    time.sleep(0.1)\n", "config.json": '{ "rate": 0.1 }\n' }) as Record<string, string>,
    queueOverride: "", ignoreQueueOverride: false, control: undefined, autostart: false, allowsetjob: false, resolverefs: false, terminal: false, debug: false,
    maxJobDuration: "", definition: undefined, others: {},
  })
  const log = new Lines()
  const now = Date.now()
  const line = (text: string, at: number, isErr = false): LogLine => [text, now + at, isErr]
  if (!["empty", "noqueue", "ready", "queued"].includes(name)) {
    log.append("build", [line("pulling python:3.12-slim", 0), line("\x1b[1mdone\x1b[0m", 10)])
    log.append("run", Array.from({ length: Number(new URLSearchParams(location.search).get("lines") ?? 60) }, (_, n) =>
      n % 9 === 4 ? line(`WARNING: slow batch ${n}`, n, true) : line(`epoch \x1b[36m${n}\x1b[0m loss \x1b[32m${(1 / (n + 1)).toFixed(4)}\x1b[0m see https://example.com/run/${n}`, n)))
    log.append("run", [line("\x1b]0;evil\x07title \x1b]8;;http://evil.example\x07click me\x1b]8;;\x07 \u202etxt.exe", 99), line("10%\r", 100, true), line("55%\r", 101, true), line("100%", 102, true)])
    log.append("run", [line("long ".repeat(80), 105)])
  }
  if (name === "running") setInterval(() => log.append("run", Array.from({ length: Number(new URLSearchParams(location.search).get("rate") ?? 1) }, () => line(`tick ${Math.random()}`, Date.now() - now))), 20)
  const outputs: Record<string, DataRef> = ["done", "failed"].includes(name) ? {
    "by-shop.csv": { value: `shop,sales,sum,mean\n${Array.from({ length: 300 }, (_, n) => `shop-${n},${n},${n * 3.5},"a ""b"", c"`).join("\n")}` },
    "plot.svg": { value: '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="120" onload="alert(1)"><script>alert(1)</script><path d="M0 100L80 40L160 70L320 10" fill="none" stroke="teal" stroke-width="4"/></svg>' },
    "metrics.json": { type: "json", value: { accuracy: 0.93, epochs: [1, 2, 3, { deep: { deeper: true } }], name: "<b>bold</b>" } },
    "<img src=x onerror=alert(1)>.html": { value: "<script>alert(1)</script><h1>hi</h1>" }, "notes/readme.txt": { value: "hello\nworld" }, "model.bin": { type: "base64", value: "AAECAwQF" },
    "fake.pdf": { value: "<html>not a pdf" },
  } : {}
  const history: PastRun[] = ["succeeded", "failed", "cancelled"].map((one, n) => ({
    id: `${n}a${id.slice(2)}`, queue: "q", definition: { ...job, env: { MODE: "slow" }, command: `python /inputs/old.py ${n}` }, fragment: "", phase: one as Phase, submittedAt: now - n * 4_000_000, duration: 5000 * (n + 1),
  }))
  const setters = {
    setJob: (next: Definition | undefined) => { params.job = next; phase = params.queue ? "ready" : "no-queue" }, setInputs: (next: Record<string, string>) => { params.inputs = next }, setQueue: (next: string) => { params.queue = next },
    setControl: () => {}, setFlag: (flag: string, value: boolean) => Object.assign(params, { [flag]: value }), setDefinition: (next: unknown) => Object.assign(params, { definition: next }),
  }
  const explanation = { queued: "You are 2nd of 3 in the queue. 2 workers serve it, none has a GPU.", lost: "The worker stopped answering 12 s ago. The job goes back to the queue when its lease ends.", error: "pull access denied for pyhton, repository does not exist or may require login. Check the image's name.", failed: "The program ended with an error." }[name] ?? ""
  return {
    params: new Proxy(params, { get: (target, key) => (key in setters ? setters[key as keyof typeof setters] : target[key as keyof typeof target]) }) as unknown as Params,
    problems: name === "failed" ? [{ key: "hash:control", text: "The parameter control could not be read.", mend: "It is ignored." }] : [],
    queue: {
      get name() { return params.queue }, base: location.origin, isLocal: false, isOverridden: false, get connection() { return params.queue ? ("open" as const) : ("none" as const) },
      workers: name === "noqueue" ? [] : [{ id: "worker-1a2b3c4d", version: "0.54.1", cpus: 8, gpus: 0, time: now, maxJobDuration: "1h" }, { id: "gpu-77aa", version: "0.1.0", cpus: 32, gpus: 2, time: now, maxJobDuration: "12h" }],
      jobs: { [id]: { state: "Running", queuedTime: now - 20000, time: now, worker: "worker-1a2b3c4d", namespaces: ["_"] }, ["b".repeat(64)]: { state: "Queued", queuedTime: now - 5000, time: now, worker: "", namespaces: ["_"] } },
      needsToken: name === "failed", setToken() {}, toggleLocal() {}, cancel() {},
    },
    job: {
      get phase() { return phase }, definition: name === "empty" ? undefined : job, id: name === "empty" ? undefined : id, record: undefined, explanation, since: now - 14_000, startedAt: now - 9_000,
      result: ["done", "failed"].includes(name) ? { StatusCode: name === "failed" ? 137 : 0, logs: [], duration: 12_345, isTimedOut: false, outputs } : undefined, log, uploads: {},
    },
    metaframe: { isEmbedded: false, isConnected: false, delivered: name === "done" ? { jobId: id, time: now, names: ["a"] } : undefined },
    files: name === "empty" ? [] : [{ name: "weights.bin", bytes: 12_345_678, from: "user" }, { name: "image.png", bytes: 4321, from: "metapage" }],
    history: name === "empty" ? [] : history,
    run() { phase = "running" }, stop() { phase = "cancelled" }, runAgain() { phase = "running" }, clearResult() { phase = "ready" }, addFiles() {}, removeFile() {}, dismiss() {}, reopen() {}, forgetHistory() {}, dispose() {},
  }
}
