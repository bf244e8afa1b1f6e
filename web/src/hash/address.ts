/** The address that contains the fragment: the window's, or a fake in tests. */
export interface Address {
  read(): string
  /** Replaces the fragment without an entry in the history, then notifies the window once. Throws if the browser refuses. */
  write(hash: string): void
  /** Calls the listener after each change from any source. Returns a function that ends it. */
  listen(listener: () => void): () => void
  /** Calls the listener when the page goes away. */
  onLeave(listener: () => void): () => void
}

/** The address of this window. */
export function windowAddress(): Address {
  const on = (type: string, listener: () => void): (() => void) => {
    window.addEventListener(type, listener)
    return () => window.removeEventListener(type, listener)
  }
  return {
    read: () => location.hash,
    write(hash) {
      const oldURL = location.href
      history.replaceState(history.state, "", `${location.pathname}${location.search}${hash}`)
      window.dispatchEvent(new HashChangeEvent("hashchange", { oldURL, newURL: location.href }))
    },
    listen: (listener) => on("hashchange", listener),
    onLeave: (listener) => on("pagehide", listener),
  }
}
