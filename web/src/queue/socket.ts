/**
 * The socket of a queue, on which the feed comes. This class opens it, keeps it open and reports messages. Only queries are sent on
 * it, and none is stored: each time the socket opens, the listener is called and can send them again. Changes go by requests, see
 * `changes.ts`.
 */
import { type Frame, readFrame } from "./frames.ts"

/** Pause between a `PONG` and the next `PING`. */
const PING_MS = 5_000
/** If no `PONG` comes for this long after a `PING`, the connection counts as lost. */
const DEAD_MS = 10_000
/** A connection that does not open in this time is tried again. */
const OPEN_MS = 4_000
const FIRST_WAIT_MS = 1_000
const FIRST_WAIT_SPREAD_MS = 2_000
const WAIT_GROWTH = 1.5
const WAIT_MAX_MS = 10_000
/** After a connection that lasted this long, the next pause is short again. */
const GOOD_MS = 10_000

export interface SocketListener {
  onOpen(): void
  onFrame(frame: Frame): void
  /** The socket closed; `wasOpen` says whether it was open before. Another try follows automatically. */
  onClose(wasOpen: boolean): void
}

/** The part of a WebSocket that is used. */
export type SocketLike = Pick<WebSocket, "readyState" | "send" | "close" | "onopen" | "onmessage" | "onclose" | "onerror">

/** Opens a socket. */
export type Connect = (url: string) => SocketLike

type Timer = ReturnType<typeof setTimeout>

export class QueueSocket {
  readonly #url: () => string
  readonly #listener: SocketListener
  readonly #connect: Connect
  #socket: SocketLike | undefined
  #isOpen = false
  #openedAt = 0
  #nFailures = 0
  #retry: Timer | undefined
  #opening: Timer | undefined
  #ping: Timer | undefined
  #dead: Timer | undefined
  #isDisposed = false

  /** `url` is called at each try, because a token may have been added. */
  constructor(url: () => string, listener: SocketListener, connect: Connect = (address) => new WebSocket(address)) {
    this.#url = url
    this.#listener = listener
    this.#connect = connect
    globalThis.addEventListener?.("online", this.#back)
    this.#open()
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Sends a message as JSON. If the socket is not open, returns false and drops the message. */
  send(message: unknown): boolean {
    return this.#sendText(JSON.stringify(message))
  }

  /** Tries again at once, for example with a new token. */
  reconnect(): void {
    this.#nFailures = 0
    this.#drop()
    if (!this.#isDisposed) this.#open()
  }

  dispose(): void {
    this.#isDisposed = true
    globalThis.removeEventListener?.("online", this.#back)
    this.#drop()
  }

  /** Called when the browser is online again: it ends a long pause. */
  readonly #back = (): void => {
    if (!this.#isOpen) this.reconnect()
  }

  #sendText(text: string): boolean {
    if (!this.#isOpen || this.#socket?.readyState !== 1) return false
    this.#socket.send(text)
    return true
  }

  #open(): void {
    clearTimeout(this.#retry)
    let socket: SocketLike
    try {
      socket = this.#connect(this.#url())
    } catch {
      // The address is invalid for a socket, or the page may not open it. It may be different at the next try.
      this.#closed(false)
      return
    }
    this.#socket = socket
    const isCurrent = (): boolean => this.#socket === socket
    socket.onopen = () => isCurrent() && this.#opened()
    socket.onmessage = ({ data }: MessageEvent) => { if (isCurrent()) this.#receive(data) }
    socket.onclose = () => { if (isCurrent()) this.#lost() }
    socket.onerror = () => {}
    this.#opening = setTimeout(() => { if (isCurrent()) this.#lost() }, OPEN_MS)
  }

  #opened(): void {
    clearTimeout(this.#opening)
    this.#isOpen = true
    this.#openedAt = Date.now()
    this.#sendPing()
    this.#listener.onOpen()
  }

  #receive(data: unknown): void {
    if (data === "PONG") return this.#ponged()
    const frame = typeof data === "string" ? readFrame(data) : undefined
    if (frame) this.#listener.onFrame(frame)
  }

  #sendPing(): void {
    if (!this.#sendText("PING")) return
    clearTimeout(this.#dead)
    this.#dead = setTimeout(() => this.#lost(), DEAD_MS)
  }

  #ponged(): void {
    clearTimeout(this.#dead)
    clearTimeout(this.#ping)
    this.#ping = setTimeout(() => this.#sendPing(), PING_MS)
  }

  #lost(): void {
    const wasOpen = this.#isOpen
    this.#drop()
    this.#closed(wasOpen)
  }

  #closed(wasOpen: boolean): void {
    const wasGood = wasOpen && Date.now() - this.#openedAt >= GOOD_MS
    this.#nFailures = wasGood ? 0 : this.#nFailures + 1
    const first = FIRST_WAIT_MS + Math.random() * FIRST_WAIT_SPREAD_MS
    const wait = Math.min(WAIT_MAX_MS, first * WAIT_GROWTH ** Math.max(0, this.#nFailures - 1))
    if (!this.#isDisposed) this.#retry = setTimeout(() => this.#open(), wait)
    this.#listener.onClose(wasOpen)
  }

  #drop(): void {
    for (const timer of [this.#retry, this.#opening, this.#ping, this.#dead]) clearTimeout(timer)
    const socket = this.#socket
    this.#socket = undefined
    this.#isOpen = false
    if (socket && socket.readyState < 2) socket.close()
  }
}
