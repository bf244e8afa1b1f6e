import { afterEach, describe, expect, it, vi } from "vitest"
import type { RequestFailure } from "../shared/fetch.ts"
import { JobRows } from "./rows.svelte.ts"

const row = (n: number): object => ({ id: `job-${n}`, state: "Queued", isBuild: false, isItem: false, attempt: 0, queuedTime: n })

/** A server with `nJobs` jobs. The returned list contains the requested addresses. */
function serve(nJobs: number, refuse: () => number | undefined = () => undefined): string[] {
  const asked: string[] = []
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url)
    const status = refuse()
    if (status !== undefined) return new Response("{\"error\": \"no\"}", { status })
    const query = new URL(url).searchParams
    const from = Number(query.get("before") ?? 0)
    const to = Math.min(nJobs, from + Number(query.get("limit")))
    const data = Array.from({ length: to - from }, (_, at) => row(from + at))
    return new Response(JSON.stringify({ data, next: to < nJobs ? String(to) : null }))
  })
  return asked
}
afterEach(() => vi.unstubAllGlobals())

const rowsOf = (failures: RequestFailure[] = []): JobRows =>
  new JobRows("https://host/q/a", () => "a-token", (failure) => failures.push(failure))
const settled = (rows: JobRows): Promise<void> => vi.waitFor(() => expect(rows.isLoading).toBe(false), { interval: 1 })

describe("the jobs of a queue", () => {
  it("are fetched page by page to the last one, and not beyond it", async () => {
    const asked = serve(450)
    const rows = rowsOf()
    await settled(rows)
    expect([rows.length, rows.isComplete]).toEqual([200, false])
    for (const _ of [1, 2, 3]) {
      rows.more()
      await settled(rows)
    }
    expect([rows.length, rows.isComplete, asked.length]).toEqual([450, true, 3])
    expect(rows.slice(448, 500).map((job) => job.id)).toEqual(["job-448", "job-449"])
  })

  it("are kept up to a limit", async () => {
    serve(1_000_000)
    const rows = rowsOf()
    await settled(rows)
    while (!rows.isFull) {
      rows.more()
      await settled(rows)
    }
    rows.more()
    await settled(rows)
    expect([rows.length, rows.isComplete]).toEqual([100_000, false])
  }, 60_000)

  it("are reloaded only until the user scrolls, and start again with a filter", async () => {
    const asked = serve(1_000)
    const rows = rowsOf()
    await settled(rows)
    rows.refresh(false)
    await settled(rows)
    rows.more()
    await settled(rows)
    rows.refresh(false)
    expect([rows.length, asked.length]).toEqual([400, 3])
    rows.setFilter("Running")
    await settled(rows)
    expect(rows.length).toBe(200)
    expect(asked.at(-1)).toBe("https://host/q/a/jobs?limit=200&state=Running")
  })

  it("are not requested repeatedly when the server refuses", async () => {
    let isRefused = false
    const asked = serve(1_000, () => (isRefused ? 401 : undefined))
    const failures: RequestFailure[] = []
    const rows = rowsOf(failures)
    await settled(rows)
    isRefused = true
    rows.more()
    await settled(rows)
    for (const _ of [1, 2, 3]) rows.more()
    expect([asked.length, rows.length, failures.map((failure) => failure.kind)]).toEqual([2, 200, ["denied"]])
  })
})
