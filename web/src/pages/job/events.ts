/**
 * Server-sent events, read with `fetch`. Unlike an `EventSource`, it can send a token in a header, and it reports why the server
 * refused the request.
 */

/** Most characters of one event: the server sends log lines in much smaller pieces. */
const EVENT_CHARS_MAX = 32 * 1024 * 1024

export interface ServerEvent {
  readonly name: string
  readonly id: string
  readonly data: string
}

/** The events of a body, one by one. Comments are left out. Throws when one is too large or the body breaks off. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let rest = ""
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      const pieces = (rest + decoder.decode(step.value, { stream: true })).split(/\r?\n\r?\n/)
      rest = pieces.pop() ?? ""
      for (const piece of pieces) {
        const event = parseEvent(piece)
        if (event) yield event
      }
      if (rest.length > EVENT_CHARS_MAX) throw new RangeError("an event is too large")
    }
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

/** One event, or undefined for a comment. */
export function parseEvent(text: string): ServerEvent | undefined {
  let [name, id] = ["message", ""]
  const data: string[] = []
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf(":")
    if (at === 0) continue
    const field = at < 0 ? line : line.slice(0, at)
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "")
    if (field === "event") name = value
    else if (field === "id") id = value
    else if (field === "data") data.push(value)
  }
  return data.length === 0 ? undefined : { name, id, data: data.join("\n") }
}
