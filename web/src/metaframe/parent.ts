/**
 * The parent page, through the metapage library, with additions: the handshake is repeated until a parent answers, messages of
 * other windows are ignored, and values are not serialised.
 */
import { Metaframe } from "@metapages/metapage"

/** First and longest pause between requests to a parent that does not answer; each pause is twice the one before. */
const FIRST_WAIT_MS = 200
const WAIT_MAX_MS = 5_000

export interface ParentListener {
  /** A parent answered; its first inputs came before. */
  onConnected(): void
  /** New values by name; `undefined` means that the name is gone. */
  onInputs(values: Readonly<Record<string, unknown>>): void
}

/** The connection to the parent. */
export interface Parent {
  readonly isEmbedded: boolean
  readonly isConnected: boolean
  /** Sends outputs unchanged. They are lost if no parent has answered yet. */
  send(outputs: Readonly<Record<string, unknown>>): void
  dispose(): void
}

/** Opens the connection to the parent, if there is one. */
export function openParent(listener: ParentListener): Parent {
  const frame = new Metaframe()
  const isEmbedded = frame._isIframe
  // The library adds its listener later, so this setting is in effect before the first message, and the first inputs arrive unchanged.
  frame.isInputOutputBlobSerialization = false
  const receive = frame.onMessage
  frame.onMessage = (event) => {
    if (event.source === window.parent && isSound(event.data, frame.isConnected())) receive(event)
  }
  const hashBefore = location.hash
  frame.on(Metaframe.INPUTS, (values: Record<string, unknown>) => listener.onInputs(values))
  frame.on(Metaframe.CONNECTED, () => {
    clearTimeout(timer)
    if (location.hash !== hashBefore) frame._onHashUrlChange(undefined)
    listener.onConnected()
  })
  let timer: ReturnType<typeof setTimeout> | undefined
  const ask = (wait: number): void => {
    timer = setTimeout(() => {
      if (frame.isConnected()) return
      const request = "SetupIframeClientRequest" as Parameters<typeof frame.sendRpc>[0]
      if (document.readyState !== "loading") frame.sendRpc(request, { version: Metaframe.version })
      ask(Math.min(WAIT_MAX_MS, wait * 2))
    }, wait)
  }
  if (isEmbedded) ask(FIRST_WAIT_MS)
  return {
    isEmbedded,
    get isConnected() { return frame.isConnected() },
    send: (outputs) => void frame.setOutputs({ ...outputs }),
    dispose() {
      clearTimeout(timer)
      frame.dispose()
    },
  }
}

/** Whether the library can handle a message: it throws for inputs that come too early, and does not check their shape. */
function isSound(data: unknown, isConnected: boolean): boolean {
  if (typeof data !== "object" || data === null) return false
  const { method, params } = data as Record<string, unknown>
  const members = typeof params === "object" && params !== null ? (params as Record<string, unknown>) : undefined
  if (method === "InputsUpdate") return isConnected && typeof members?.inputs === "object" && members.inputs !== null
  if (method === "SetupIframeServerResponse") return typeof members?.parentId === "string"
  return true
}
