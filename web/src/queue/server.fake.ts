/** A queue's server for tests: one socket at a time, and requests. */
import type { ClientMessage, EnqueueJob, Job } from "../wire.ts"
import type { Fetch } from "./requests.ts"
import type { SocketLike } from "./socket.ts"

/** A change that a request made. */
export interface FakeChange {
  readonly is: "submit" | "cancel" | "clear"
  readonly path: string
  readonly namespace: string | null
  readonly job: EnqueueJob | undefined
}

export class FakeServer {
  readonly urls: string[] = []
  readonly sent: string[] = []
  readonly requests: { url: string; init: RequestInit }[] = []
  answers: (url: string, init: RequestInit) => Response | Promise<Response> = () => Response.json({ data: null })
  #socket: { -readonly [K in keyof SocketLike]: SocketLike[K] } | undefined

  readonly connect = (url: string): SocketLike => {
    this.urls.push(url)
    const send = (text: unknown): void => { this.sent.push(String(text)) }
    this.#socket = { readyState: 0, send, close: () => {}, onopen: null, onmessage: null, onclose: null, onerror: null }
    return this.#socket
  }

  readonly fetch: Fetch = async (url, init) => {
    this.requests.push({ url, init })
    return this.answers(url, init)
  }

  opens(): void {
    this.#socket!.readyState = 1
    this.#call("onopen", {})
  }

  closes(): void {
    this.#socket!.readyState = 3
    this.#call("onclose", {})
  }

  says(text: string): void {
    this.#call("onmessage", { data: text })
  }

  /** Sends jobs, with defaults for members that do not matter to a test. */
  tells(jobs: Record<string, Partial<Job>>, isWhole: boolean, cursor?: number): void {
    const whole = Object.fromEntries(Object.entries(jobs).map(([id, job]) =>
      [id, { time: 1, queuedTime: 1, worker: "", namespaces: ["_"], ...job }]))
    this.says(JSON.stringify({ type: isWhole ? "JobStates" : "JobStateUpdates",
      payload: { state: { jobs: whole }, isSubset: !isWhole, ...(cursor !== undefined && { cursor: `${cursor}` }) } }))
  }

  logs(jobId: string, step: string, ...lines: string[]): void {
    this.says(JSON.stringify({ type: "JobStatusPayload", payload: { jobId, step, logs: lines.map((line, i) => [line, i]) } }))
  }

  /** Sends lines of a log; the last of them has the number `cursor`. */
  numbered(jobId: string, step: string, cursor: number, ...lines: string[]): void {
    const logs = lines.map((line, i) => [line, i])
    this.says(JSON.stringify({ type: "JobStatusPayload", payload: { jobId, step, logs, cursor } }))
  }

  messages(): ClientMessage[] {
    return this.sent.filter((text) => text.startsWith("{")).map((text) => JSON.parse(text) as ClientMessage)
  }

  changes(): FakeChange[] {
    return this.requests.flatMap(({ url, init: { method, body } }) => {
      const { pathname: path, searchParams } = new URL(url)
      if (method !== "DELETE" && method !== "POST") return []
      const is = method === "DELETE" ? "clear" : path.endsWith("/cancel") ? "cancel" : "submit"
      return [{ is, path, namespace: searchParams.get("namespace"), job: body ? JSON.parse(String(body)) as EnqueueJob : undefined }]
    })
  }

  #call(name: "onopen" | "onclose" | "onmessage", event: object): void {
    (this.#socket?.[name] as ((event: object) => void) | null | undefined)?.(event)
  }
}
