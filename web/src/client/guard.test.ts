import { expect, test } from "vitest"
import { Guard, type GuardOptions, isLoopback, SETTLE_MS } from "./guard.svelte.ts"

const guard = (options: Partial<GuardOptions>, queueBase = "http://localhost:8000"): Guard => {
  const made = new Guard({ isLocalInstance: true, isFramed: false, base: "http://localhost:8000", sinceFront: () => SETTLE_MS,
    isPressed: () => true, ...options })
  made.attach(() => queueBase, () => {})
  return made
}

test("on a local server an action in a window counts, and nothing before it", () => {
  const own = guard({})
  expect([own.isOn, own.mayChange]).toEqual([true, false])
  expect([own.act(), own.mayChange]).toEqual([true, true])
})

test("in a frame no action counts", () => {
  const framed = guard({ isFramed: true })
  expect([framed.isShowOnly, framed.act(), framed.mayChange, framed.refusal()]).toEqual([true, false, false, "framed"])
})

test("in a window that came to the front a moment ago, or without any press, no action counts", () => {
  expect(guard({ sinceFront: () => SETTLE_MS - 1 }).refusal()).toBe("early")
  const untouched = guard({ isPressed: () => false })
  expect([untouched.refusal(), untouched.refusal("files")]).toEqual(["early", undefined])
})

test("a public server runs what it is sent, in frames too", () => {
  const open = guard({ isLocalInstance: false, isFramed: true, sinceFront: () => 0 }, "http://localhost:8000")
  expect([open.isOn, open.isShowOnly, open.mayChange, open.act()]).toEqual([false, false, true, true])
})

test("a public server's page is restricted if its queue is on this machine", () => {
  const sent = guard({ isLocalInstance: false, isFramed: true, base: "https://page.example" })
  expect([sent.isOn, sent.act(), sent.mayChange]).toEqual([true, false, false])
  const elsewhere = guard({ isLocalInstance: false, isFramed: true, base: "https://page.example" }, "https://other.example")
  expect(elsewhere.mayChange).toBe(true)
})

test("an action for a public queue does not count for a queue of this machine's frame", () => {
  let base = "https://page.example"
  const framed = new Guard({ isLocalInstance: false, isFramed: true, base, sinceFront: () => SETTLE_MS, isPressed: () => true })
  framed.attach(() => base, () => {})
  expect(framed.act()).toBe(true)
  base = "http://localhost:8000"
  expect(framed.mayChange).toBe(false)
})

test("names of this machine are recognised in every spelling", () => {
  for (const own of ["http://localhost:8000", "http://LOCALHOST", "http://a.localhost/x", "http://127.0.0.1:1", "http://127.1",
    "http://2130706433", "http://0x7f.1", "http://[::1]:8000", "http://[::ffff:127.0.0.1]", "http://0.0.0.0:8000"]) {
    expect(isLoopback(own), own).toBe(true)
  }
  for (const other of ["https://localhost.example", "https://notlocalhost", "http://128.0.0.1", "http://10.0.0.1", "nonsense"]) {
    expect(isLoopback(other), other).toBe(false)
  }
})
