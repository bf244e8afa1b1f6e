import { expect, test } from "vitest"
import { localCommand, testLocal } from "./local-test.ts"
import type { Fetch } from "./requests.ts"

const PAGE = "https://page.example"
const answers = (answer: () => Response): Fetch => () => Promise.resolve(answer())
const fails: Fetch = () => Promise.reject(new TypeError("Failed to fetch"))

test("a page of another origin needs the consent of this machine's API, its own page does not", () => {
  expect(["http://localhost:8000", "http://127.0.0.1:8000"].map(localCommand)).toEqual(
    ["asman worker run --mode local", "asman worker run --mode local"])
  expect(["http://localhost:8123", PAGE, "null"].map(localCommand)).toEqual([
    "asman worker run --mode local --allow-origin http://localhost:8123",
    "asman worker run --mode local --allow-origin https://page.example", "asman worker run --mode local --allow-origin null",
  ])
})

test("a machine that is ready shows its capacity", async () => {
  const asked: string[] = []
  const fetcher: Fetch = (url) => {
    asked.push(url)
    return Promise.resolve(Response.json({ localWorkers: { w: { cpus: 2.5 }, v: { cpus: 4 } } }))
  }
  expect(await testLocal(PAGE, fetcher)).toEqual(
    { isReady: true, text: "This machine is ready: 2 workers with 6.5 CPUs at http://localhost:8000." })
  expect(asked).toEqual(["http://localhost:8000/q/local/status"])
})

test("each problem of the machine has the command that fixes it", async () => {
  const foreign = `asman worker run --mode local --allow-origin ${PAGE}`
  const noWorker = await testLocal(PAGE, answers(() => Response.json({ localWorkers: {} })))
  expect(noWorker.command).toBe("asman worker run local --api http://localhost:8000")
  const other = await testLocal(PAGE, answers(() => new Response("<html>hello")))
  expect([other.text.startsWith("Another program"), other.command]).toEqual([true, foreign])
  const refused = await testLocal(PAGE, answers(() => Response.json({ error: "no" }, { status: 403 })))
  expect([refused.isReady, refused.text.includes(`does not allow pages of ${PAGE}`)]).toEqual([false, true])
  expect(refused.command).toBe(`asman consent allow ${PAGE}`)
  expect(refused.consent).toBe("http://localhost:8000/consent?origin=https%3A%2F%2Fpage.example")
  const unnamed = await testLocal("null", answers(() => Response.json({ error: "no" }, { status: 403 })))
  expect([unnamed.command, unnamed.consent]).toEqual(["asman worker run --mode local --allow-origin null", undefined])
  const silent = await testLocal(PAGE, (_, { mode }) => (mode === "no-cors" ? Promise.resolve(Response.error()) : fails("", {})))
  expect(silent).toEqual(refused)
  const absent = await testLocal("http://localhost:8000", fails)
  expect([absent.text, absent.command]).toEqual(
    ["No server answers at http://localhost:8000. Run this on this machine:", "asman worker run --mode local"])
})
