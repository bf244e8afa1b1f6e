/**
 * What this page may do on a local server.
 *
 * A public server runs what it is sent. If the server is this machine, any web page could send the browser here, show this page
 * in an invisible frame, or cover it. So there, nothing runs and nothing changes without the user's own action in a window of
 * this page.
 *
 * - The page's own document states whether its server is local. Other pages cannot change it. Without this statement the server
 *   counts as local.
 * - A queue of another server counts as on this machine if the name of that server always means this machine.
 * - In a frame no click counts as the user's own action, because a frame may be invisible, tiny or covered. The page offers to
 *   open a separate window with the same job. The frame follows that job and passes on its outputs.
 * - A click in a window that has only just come to the front does not count either: the window may have been opened under the
 *   user's pointer.
 */

/** How long a window must be in front before a click in it counts. */
export const SETTLE_MS = 700

export interface GuardOptions {
  /** Whether the page's server is local. */
  readonly isLocalInstance: boolean
  readonly isFramed: boolean
  /** Base of the page's own server. */
  readonly base: string
  /** Milliseconds since the window came to the front. */
  readonly sinceFront: () => number
  /** Whether the user has clicked or typed in this window yet. */
  readonly isPressed: () => boolean
}

export type Refused = "framed" | "early"

/** The message for the user, and the fix. */
export const REFUSALS: Readonly<Record<Refused, readonly [text: string, fix: string]>> = {
  framed: ["Nothing is run or changed on this machine from within a frame.", "Open the page in a separate window."],
  early: ["This window has only just come to the front, so nothing was done.", "Look at what the job does, and press again."],
}

export class Guard {
  readonly #options: GuardOptions
  #queueBase: () => string
  #tell: (refused: Refused | undefined) => void = () => {}
  #hasActed = false

  constructor(options: GuardOptions) {
    this.#options = options
    this.#queueBase = () => options.base
  }

  /** Checks where the queue's server is, and reports actions that do not count. */
  attach(queueBase: () => string, tell: (refused: Refused | undefined) => void): void {
    this.#queueBase = queueBase
    this.#tell = tell
  }

  /** Whether the page's server is local. */
  get isLocalInstance(): boolean { return this.#options.isLocalInstance }

  /** Whether the job would run on this machine. */
  get isOn(): boolean {
    const base = this.#queueBase()
    return this.#options.isLocalInstance || (base !== this.#options.base && isLoopback(base))
  }

  /**
   * Handles an action of the user: a press, or files that were chosen or dropped. Returns whether it counts, and reports why if
   * not.
   */
  act(kind: "press" | "files" = "press"): boolean {
    const refused = this.refusal(kind)
    if (!refused) this.#hasActed = true
    this.#tell(refused)
    return !refused
  }

  /** Whether a change may be sent: the last check before anything goes to the server. */
  get mayChange(): boolean {
    return !this.isOn || (!this.#options.isFramed && this.#hasActed)
  }

  /** Whether the page may only show the job, and may not run or change anything. */
  get isShowOnly(): boolean {
    return this.isOn && this.#options.isFramed
  }

  /** Why an action of the user does not count, or undefined. */
  refusal(kind: "press" | "files" = "press"): Refused | undefined {
    if (!this.isOn) return undefined
    if (this.#options.isFramed) return "framed"
    const isUntouched = kind === "press" && !this.#options.isPressed()
    return this.#options.sinceFront() < SETTLE_MS || isUntouched ? "early" : undefined
  }
}

/** Names that always mean this machine, independent of any name server. */
export function isLoopback(address: string): boolean {
  const host = URL.canParse(address) ? new URL(address).hostname : ""
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)
    || host === "0.0.0.0" || host === "[::]" || /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/.test(host)
}

/** A guard that allows everything, for a page without a document. */
export function openGuard(base: string): Guard {
  return new Guard({ isLocalInstance: false, isFramed: false, base, sinceFront: () => Infinity, isPressed: () => true })
}

/** The guard of this page. */
export function windowGuard(root: URL): Guard {
  const said = document.querySelector<HTMLMetaElement>('meta[name="asman-instance"]')?.content
  // Without a fragment the page opens empty, so a stranger has not chosen its job, and no wait is needed.
  const isLinked = location.hash.length > 1
  let front = performance.now()
  const toFront = (): void => { front = performance.now() }
  addEventListener("focus", toFront)
  addEventListener("pageshow", toFront)
  document.addEventListener("visibilitychange", toFront)
  return new Guard({
    isLocalInstance: said !== "public",
    isFramed: window.parent !== window,
    base: root.href.replace(/[?#].*$/, "").replace(/\/+$/, ""),
    sinceFront: () => (isLinked ? performance.now() - front : Infinity),
    isPressed: () => (navigator as { userActivation?: UserActivation }).userActivation?.hasBeenActive !== false,
  })
}
