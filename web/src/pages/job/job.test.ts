import { describe, expect, it } from "vitest"
import { jobAddress, nameHere } from "./address.ts"
import { clientLink } from "./client-link.ts"
import { parseEvent, readEvents } from "./events.ts"
import { needsText } from "./place.ts"

const root = new URL("https://host/below/a/path/")

describe("the address of a job", () => {
  it("is found by its id when no queue is named", () => {
    const address = jobAddress("j/ab%20c", "", root)
    expect(address).toMatchObject({ id: "ab c", queue: undefined, json: `${root}j/ab%20c.json`, below: `${root}j/ab%20c` })
  })
  it("reads the queue from the fragment and does not write it in the permalink", () => {
    const address = jobAddress("j/abc", "#?x=1&queue=my%20key%2F%25", root)
    expect(address).toMatchObject({ queue: "my key/%", json: `${root}q/my%20key%2F%25/j/abc`, permalink: `${root}j/abc` })
  })
  it("survives what cannot be decoded", () => {
    expect(jobAddress("j/%zz", "#?queue=%zz", root)).toMatchObject({ id: "%zz", queue: "%zz" })
    expect(jobAddress("j/", "#?queue=", root).queue).toBeUndefined()
  })
})

describe("the queue of a job", () => {
  it("is one of this server, in every form of a client", () => {
    const names = ["my key", `${root}my%20key`, `${root}q/my%20key`, "local", "https://other/my%20key", "a/b", ""]
    expect(names.map((name) => nameHere(name, root)))
      .toEqual(["my key", "my key", "my key", undefined, undefined, undefined, undefined])
  })
  it("is not needed to show what the job needs of a worker", () => {
    expect(needsText({ requirements: { gpus: 1, cpus: 0.5, memory: "4g" }, tags: ["a", "b"] }))
      .toBe("It needs 1 GPU, 0.5 CPUs, 4g of memory, the tags a, b.")
    expect(needsText({ requirements: { gpus: 0 } })).toBe("")
  })
})

describe("the link to the client", () => {
  function decoded(link: string | undefined, key: string): unknown {
    const value = new URLSearchParams(link?.split("#?")[1]).get(key)
    return value === null ? undefined : JSON.parse(decodeURIComponent(atob(value)))
  }
  it("makes text files inputs and keeps the rest of the definition", () => {
    const files = { "a.py": { value: "prínt(1)" }, "big": { value: "https://host/f/1", type: "url" as const } }
    const link =
      clientLink(root, { image: "python", command: "python /inputs/a.py", env: { A: "+&=%" }, configFiles: files }, "my&key")
    expect(link?.startsWith(`${root}#?inputs=`)).toBe(true)
    expect(decoded(link, "inputs")).toEqual({ "a.py": "prínt(1)" })
    expect(decoded(link, "job")).toEqual({ image: "python", command: "python /inputs/a.py", env: { A: "+&=%" },
      inputs: { big: files.big } })
    expect(new URLSearchParams(link?.split("#?")[1]).get("queue")).toBe("my&key")
  })
  it("is none when no browser would take it, and survives lone surrogates", () => {
    expect(clientLink(root, { image: "x".repeat(2_000_000) }, undefined)).toBeUndefined()
    expect(decoded(clientLink(root, { image: "a\ud800" }, undefined), "job")).toBeDefined()
  })
})

describe("server-sent events", () => {
  async function all(...pieces: string[]): Promise<unknown[]> {
    const encoder = new TextEncoder()
    const bytes = encoder.encode(pieces.join(""))
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
        controller.close()
      },
    })
    const events: unknown[] = []
    for await (const event of readEvents(body)) events.push(event)
    return events
  }
  it("are read however the bytes are cut, and comments are left out", async () => {
    const events = await all("event: run-log\nid: 0.2\ndata: {\"é\":\ndata: 1}\n\n", ":\n\n", "data: x\r\n\r\n", "data: cut off")
    expect(events).toEqual([{ name: "run-log", id: "0.2", data: "{\"é\":\n1}" }, { name: "message", id: "", data: "x" }])
    expect(parseEvent(": only a comment")).toBeUndefined()
  })
})
