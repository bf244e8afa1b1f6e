/**
 * What this page may do on a machine of one's own.
 *
 * A public server runs what it is sent, as it always did. Where a server is this very machine, a page of anybody could send the
 * browser here, show this page in a frame that nobody sees, or cover it: so there, nothing runs and nothing is changed without the
 * person's own act in a window of this page itself.
 *
 * - The page's own document says whether its server is such a machine. Other pages cannot write it. What it does not say counts as
 *   yes.
 * - A queue elsewhere is on this machine when its server's name is one that always leads here.
 * - In a frame there is no such act, whatever is clicked: a frame may be invisible, tiny or covered. The page offers to be opened
 *   in a window of its own with the same job; the frame follows that job and hands on its outputs.
 * - A window that has only just come to the front has none either: it may have been put under a finger that was about to click.
 */

/** A window is in front for this long before a click in it counts. */
export const SETTLE_MS = 700

export interface GuardOptions {
  /** Whether the server of the page is one machine's own. */
  readonly isLocalInstance: boolean
  readonly isFramed: boolean
  /** Base of the page's own server. */
  readonly base: string
  /** Milliseconds since the window came to the front, or since its address was changed from outside. */
  readonly sinceFront: () => number
  /** Whether the person has pressed anything in this window yet. */
  readonly isPressed: () => boolean
}

export type Refused = "framed" | "early"

/** What the person is told, and what mends it. */
export const REFUSALS: Readonly<Record<Refused, readonly [text: string, mend: string]>> = {
  framed: ["Nothing is run or changed on this machine from within a frame.", "Open the page in a window of its own."],
  early: ["This window has only just come to the front, so nothing was done.", "Look at what the job does, and press once more."],
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

  /** Asks here where the queue's server lies, and tells here of acts that do not count. */
  attach(queueBase: () => string, tell: (refused: Refused | undefined) => void): void {
    this.#queueBase = queueBase
    this.#tell = tell
  }

  /** Whether the server of the page is one machine's own. */
  get isLocalInstance(): boolean { return this.#options.isLocalInstance }

  /** Whether the job would run on this machine. */
  get isOn(): boolean {
    const base = this.#queueBase()
    return this.#options.isLocalInstance || (base !== this.#options.base && isLoopback(base))
  }

  /** Takes an act of the person: a press, or files that were chosen or dropped, which needs none before. Gives whether it counts, and says why where it does not. */
  act(kind: "press" | "files" = "press"): boolean {
    const refused = this.refusal(kind)
    if (!refused) this.#hasActed = true
    this.#tell(refused)
    return !refused
  }

  /** Whether anything may be sent that changes something: the last look at whatever leaves for the server. */
  get mayChange(): boolean {
    return !this.isOn || (!this.#options.isFramed && this.#hasActed)
  }

  /** Whether the page may only show. */
  get isShowOnly(): boolean {
    return this.isOn && this.#options.isFramed
  }

  /** Why an act of the person does not count, or undefined. */
  refusal(kind: "press" | "files" = "press"): Refused | undefined {
    if (!this.isOn) return undefined
    if (this.#options.isFramed) return "framed"
    const isUntouched = kind === "press" && !this.#options.isPressed()
    return this.#options.sinceFront() < SETTLE_MS || isUntouched ? "early" : undefined
  }
}

/** Names that lead to this machine whatever a name server says. */
export function isLoopback(address: string): boolean {
  const host = URL.canParse(address) ? new URL(address).hostname : ""
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)
    || host === "0.0.0.0" || host === "[::]" || /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/.test(host)
}

/** A guard that lets everything pass, for a page without a document. */
export function openGuard(base: string): Guard {
  return new Guard({ isLocalInstance: false, isFramed: false, base, sinceFront: () => Infinity, isPressed: () => true })
}

/** The guard of this page. */
export function windowGuard(root: URL): Guard {
  const said = document.querySelector<HTMLMetaElement>('meta[name="asman-instance"]')?.content
  // What a person makes here from nothing has no stranger behind it.
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
