/** A TCP proxy in front of an API, for a network that fails: it cuts the sockets of pages, or answers 503 in the API's place. */
import { once } from "node:events"
import { connect, createServer } from "node:net"

const ILL = [
  "HTTP/1.1 503 Service Unavailable", "Content-Type: text/html", "Content-Length: 12", "Connection: close", "", "<h1>503</h1>",
].join("\r\n")

/** Opens a proxy to a port of this machine. */
export async function openProxy(port) {
  const proxy = new Proxy(port)
  await proxy.listen()
  return proxy
}

class Proxy {
  #server
  #port
  #open = new Set()
  /** WebSockets that are open now. */
  sockets = new Set()
  /** Counted since the beginning: WebSockets that were opened, requests that got a 503, and the most WebSockets at a time. */
  nSockets = 0
  nRefused = 0
  nSocketsMost = 0
  #isIll = false

  constructor(port) {
    this.#port = port
    this.#server = createServer((socket) => this.#take(socket))
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1")
    await once(this.#server, "listening")
    this.url = `http://localhost:${this.#server.address().port}`
  }

  /** Ends every WebSocket without a word, as a lost network does. */
  cutSockets() {
    for (const socket of this.sockets) socket.destroy()
  }

  /** Ends every connection, and answers 503 to whatever comes from now on. */
  fallIll() {
    this.#isIll = true
    for (const socket of this.#open) socket.destroy()
  }

  recover() {
    this.#isIll = false
  }

  close() {
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
  }

  #take(socket) {
    this.#open.add(socket)
    socket.on("close", () => this.#open.delete(socket)).on("error", () => socket.destroy())
    socket.once("data", (head) => (this.#isIll ? this.#refuse(socket) : this.#pass(socket, head)))
  }

  #refuse(socket) {
    this.nRefused++
    socket.end(ILL)
  }

  #pass(socket, head) {
    const upstream = connect(this.#port, "127.0.0.1").on("error", () => socket.destroy())
    socket.on("close", () => upstream.destroy())
    if (/\r\nupgrade: websocket/i.test(head.toString("latin1"))) this.#count(socket)
    upstream.write(head)
    socket.pipe(upstream).pipe(socket)
  }

  #count(socket) {
    this.nSockets++
    this.sockets.add(socket)
    this.nSocketsMost = Math.max(this.nSocketsMost, this.sockets.size)
    socket.on("close", () => this.sockets.delete(socket))
  }
}
