import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Problems } from "../client/problems.svelte.ts"
import type { Address } from "./address.ts"
import { encodeB64Json } from "./b64json.ts"
import type { Definition } from "../wire.ts"
import { EDIT_MS, ParamStore } from "./params.svelte.ts"

class FakeAddress implements Address {
  readonly writes: string[] = []
  readonly listeners = new Set<() => void>()
  constructor(public hash: string) {}
  read(): string { return this.hash }
  write(hash: string): void {
    this.hash = hash
    this.writes.push(hash)
    this.listeners.forEach((listener) => listener())
  }
  listen(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
  onLeave(): () => void { return () => {} }
}

function store(hash: string): { address: FakeAddress; problems: Problems; params: ParamStore } {
  const address = new FakeAddress(hash)
  const problems = new Problems()
  return { address, problems, params: new ParamStore(address, problems) }
}

const b64 = (value: unknown): string => encodeURIComponent(encodeB64Json(value))

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

test("parameters are read, and unknown ones become variables", () => {
  const { params } =
    store(`#?job=${b64({ image: "a" })}&foo=bar%20baz&terminal=true&hm=disabled&queue=q1&autostart=true&config=x&resolverefs=true`)
  expect(params.job).toEqual({ image: "a" })
  expect([params.queue, params.autostart, params.terminal, params.debug]).toEqual(["q1", true, true, false])
  expect(Object.entries(params.others)).toEqual([["foo", "bar baz"], ["hm", "disabled"]])
})

test("parameters that a surrounding metapage adds are not variables, so that every viewer has the same job", () => {
  const added = "&mp-channel=wss%3A%2F%2Fa&mp_debug=1&readonly=true&edit=1&channel=c&CHANNEL=C&parent-metapage-id=p&fs-path=%2Fx"
  const { params, address } = store(`#?job=${b64({ image: "a" })}&hm=disabled${added}&readonlyish=1`)
  expect(Object.entries(params.others)).toEqual([["hm", "disabled"], ["readonlyish", "1"]])
  params.setFlag("debug", true)
  expect(address.hash).toContain("mp-channel=wss")
})

test("a malformed parameter is a problem and counts as absent, and the problem disappears when it is set", () => {
  const { params, problems, address } = store(`#?job=%25&inputs=${b64({ a: 1 })}&control=${b64([])}&queue=q`)
  expect(problems.list.map(({ key }) => key)).toEqual(["hash:job", "hash:inputs", "hash:control"])
  expect([params.job, params.inputs, params.control, params.queue]).toEqual([undefined, {}, undefined, "q"])
  params.setJob({ image: "b" })
  params.flush()
  expect(problems.list.map(({ key }) => key)).toEqual(["hash:control", "hash:inputs"])
  expect(address.hash).toContain(`job=${b64({ image: "b" })}`)
})

test("jobs with members of wrong types, too deep or too long values are refused", () => {
  let deep: unknown = {}
  for (let i = 0; i < 5_000; i++) deep = { deep }
  for (const job of [{ image: 1 }, { env: { a: {} } }, { build: { buildArgs: "x" } }, { inputs: { a: "text" } }, "text"]) {
    expect(store(`#?job=${b64(job)}`).problems.list).toHaveLength(1)
  }
  expect(store(`#?job=${btoa(`${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`)}`).problems.list).toHaveLength(1)
  expect(store(`#?queue=${"q".repeat(3_000)}`).params.queue).toBe("")
  const { params, problems, address } = store("")
  params.setJob({ image: "a", v: deep } as Definition)
  params.setInputs({ a: "x".repeat(2_000_000) })
  expect(problems.list.map(({ key }) => key)).toEqual(["hash:job", "hash:inputs"])
  expect(address.writes).toEqual([])
})

test("typing writes the address once after a pause, a switch at once, and nothing is written twice", () => {
  const { params, address } = store("#?z=1")
  for (const text of ["a", "ab", "abc"]) params.setInputs({ "a.txt": text })
  expect(params.inputs).toEqual({ "a.txt": "abc" })
  expect(address.writes).toEqual([])
  vi.advanceTimersByTime(EDIT_MS)
  expect(address.writes).toEqual([`#?inputs=${b64({ "a.txt": "abc" })}&z=1`])
  params.setFlag("debug", true)
  params.setFlag("debug", true)
  params.setInputs({ "a.txt": "abc" })
  vi.advanceTimersByTime(EDIT_MS)
  expect(address.writes).toHaveLength(2)
  expect(address.hash).toBe(`#?debug=true&inputs=${b64({ "a.txt": "abc" })}&z=1`)
})

test("an unchanged value that another version wrote is not written again", () => {
  const { params, address } = store(`#?job=${btoa('{"image":"a","command":"b"}')}`)
  params.setJob({ command: "b", image: "a" })
  params.flush()
  expect(address.writes).toEqual([])
})

test("a pending edit survives a change of the address by others, and each change is reported once", () => {
  const { params, address } = store("#?queue=a")
  let nTold = 0
  params.onChange(() => nTold++)
  params.setInputs({ f: "1" })
  address.write("#?queue=b&x=1")
  expect([params.queue, params.inputs, nTold]).toEqual(["b", { f: "1" }, 2])
  vi.advanceTimersByTime(EDIT_MS)
  expect(address.hash).toBe(`#?inputs=${b64({ f: "1" })}&queue=b&x=1`)
  expect(nTold).toBe(2)
})

test("setting a parameter to its default deletes it", () => {
  const { params, address } = store("#?autostart=true&queue=a")
  params.setFlag("autostart", false)
  params.setQueue("")
  expect(address.hash).toBe("")
})
