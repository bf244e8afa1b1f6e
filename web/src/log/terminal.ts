/**
 * The terminal: a window on a log store. It contains at most a few thousand entries, because each cell of a row takes 12 bytes.
 * While it follows the end of the log, new lines push old ones out. While the user reads earlier lines, it does not move and counts
 * the lines after it.
 *
 * It writes once an animation frame, and only after the terminal has processed the last write. So even a flood of lines costs only
 * one screen per frame.
 */
import { FitAddon } from "@xterm/addon-fit"
import { SearchAddon } from "@xterm/addon-search"
import { WebLinksAddon } from "@xterm/addon-web-links"
import { Terminal } from "@xterm/xterm"
import "@xterm/xterm/css/xterm.css"
import { hitColours, rowLook, terminalTheme } from "./look.ts"
import { RowWriter } from "./render.ts"
import { isSameEntry, type LogEntry, type LogStore } from "./store.ts"

/** Entries of a new window. */
const WINDOW = 2_000
/** When a window that follows the end of the log exceeds this number of entries, a new one replaces it. */
const WINDOW_MAX = 6_000
const ROWS_MAX = 10_000
/** Entries before a window that are read for the colours that they leave for it. */
const BEFORE_MAX = 1_000
const CHARS_A_FRAME_MAX = 262_144
const ENTRIES_A_FRAME_MAX = 1_000
/** Columns of a window that does not wrap. */
const COLUMNS_MAX = 500

const USER_EVENTS = ["wheel", "keydown", "pointerdown", "pointerup", "pointercancel", "touchmove"] as const

/** What the bars around the terminal show. */
export interface WindowState {
  /** Entries before the window and after it. */
  earlier: number
  later: number
  isFollowing: boolean
}

export interface WindowOptions {
  isWrapped: boolean
  hasTimes: boolean
  isDark: boolean
}

export class TerminalWindow {
  readonly #terminal: Terminal
  readonly #search = new SearchAddon({ highlightLimit: 500 })
  readonly #fit = new FitAddon()
  readonly #ends: (() => void)[] = []
  #writer = new RowWriter()
  /** Numbers of entries since the log began: the window's first, and the next to be written. */
  #first = 0
  #next = 0
  #lastWritten: LogEntry | undefined
  /** Whether new lines come into view. Only the user's own scrolling and jumps change it. */
  #isFollowing = true
  /** Writes that the terminal has not processed yet. */
  #nPending = 0
  /** Increased with each window; work for an older window is dropped. */
  #generation = 0
  #frame = 0
  #term = ""
  /** Whether the user holds the pointer down, such as on the scroll bar or while selecting. */
  #isHeld = false
  #judging: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly host: HTMLElement,
    private readonly store: LogStore,
    private options: WindowOptions,
    private readonly onstate: (state: WindowState) => void,
    onlink: (address: string) => void,
  ) {
    this.#terminal = new Terminal({
      disableStdin: true, cursorBlink: false, cursorInactiveStyle: "none", convertEol: false, allowProposedApi: true,
      scrollback: ROWS_MAX,
      fontSize: 12.5, lineHeight: 1.25, fontFamily: getComputedStyle(host).fontFamily, theme: terminalTheme(options.isDark),
      minimumContrastRatio: 4.5, scrollOnUserInput: false, logLevel: "off", smoothScrollDuration: 0,
    })
    this.#terminal.loadAddon(this.#search)
    this.#terminal.loadAddon(this.#fit)
    this.#terminal.loadAddon(new WebLinksAddon(open,
      { hover: (_, address) => onlink(address), leave: () => onlink(""), urlRegex: LINK }))
    this.#terminal.attachCustomKeyEventHandler((event) => isForTerminal(event))
    this.#terminal.open(host)
    this.#watch()
    this.#begin(this.#total - WINDOW)
  }

  /** Changes the look of lines; the whole window is written again. */
  set(options: WindowOptions): void {
    if (JSON.stringify(options) === JSON.stringify(this.options)) return
    const top = this.#topEntry()
    this.options = options
    this.#terminal.options.theme = terminalTheme(options.isDark)
    this.#resize()
    if (this.#isFollowing) this.follow()
    else this.#show(top)
  }

  follow(): void {
    this.#isFollowing = true
    this.#begin(this.#total - WINDOW)
  }

  /** Moves the window towards the beginning by half its size. */
  showEarlier(): void {
    this.#show(this.#first)
  }

  /** Brings the hit into view and marks it. */
  reveal(entry: number, nth: number, term: string): void {
    this.#term = term
    this.#show(entry, nth)
  }

  clearSearch(): void {
    this.#term = ""
    this.#search.clearDecorations()
    this.#terminal.clearSelection()
  }

  get selection(): string {
    return this.#term === "" ? this.#terminal.getSelection() : ""
  }

  dispose(): void {
    this.#generation++
    clearTimeout(this.#judging)
    cancelAnimationFrame(this.#frame)
    for (const end of this.#ends) end()
    this.#terminal.dispose()
  }

  get #total(): number {
    return this.store.dropped + this.store.length
  }

  #watch(): void {
    this.#ends.push(this.store.subscribe((from) => this.#onStore(from)))
    const sizes = new ResizeObserver(() => this.#resize())
    sizes.observe(this.host)
    this.#ends.push(() => sizes.disconnect())
    // The capture phase comes before the terminal's own handlers, which may stop an event.
    const onUser = (event: Event): void => this.#onUser(event)
    for (const name of USER_EVENTS) this.host.addEventListener(name, onUser, { passive: true, capture: true })
    this.#ends.push(() => { for (const name of USER_EVENTS) this.host.removeEventListener(name, onUser, { capture: true }) })
    this.#resize()
  }

  #resize(): void {
    const size = this.#fit.proposeDimensions()
    if (!size || !Number.isFinite(size.cols) || !Number.isFinite(size.rows)) return
    const columns = Math.max(20, size.cols)
    this.#terminal.resize(this.options.isWrapped ? columns : Math.max(columns, COLUMNS_MAX), Math.max(2, size.rows))
    if (this.#isFollowing) this.#terminal.scrollToBottom()
  }

  /**
   * Scrolling up ends the following at once, because the next write would move the view down again. When the scrolling is over,
   * `#onScrolled` reads the final position.
   */
  #onUser(event: Event): void {
    const isUp = event instanceof WheelEvent
      ? event.deltaY < 0
      : event instanceof KeyboardEvent && ["PageUp", "Home", "ArrowUp"].includes(event.key)
    if (event.type === "pointerdown") this.#isHeld = true
    else if (event.type === "pointerup" || event.type === "pointercancel") {
      this.#isHeld = false
      this.#schedule()
    }
    if (isUp && this.#terminal.buffer.active.baseY > 0) this.#isFollowing = false
    clearTimeout(this.#judging)
    this.#judging = setTimeout(() => this.#onScrolled(), 150)
  }

  #onScrolled(): void {
    if (this.#isHeld) return
    const buffer = this.#terminal.buffer.active
    const isAtEnd = buffer.viewportY >= buffer.baseY && this.#next >= this.#total
    this.#isFollowing = isAtEnd
    this.#tell()
  }

  #onStore(from: number): void {
    const changed = this.store.dropped + from
    const last = this.#lastWritten
    // A full store drops its beginning. If the last written entry is still there, the entries before it have not changed either.
    const isSame = last === undefined || isSameEntry(this.store.at(this.#next - 1 - this.store.dropped), last)
    if (changed < this.#next && !(from === 0 && this.store.dropped > 0 && isSame)) {
      if (this.#isFollowing || changed <= this.#first) this.follow()
      else this.#show(this.#topEntry())
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#onFrame())
  }

  #onFrame(): void {
    this.#frame = 0
    if (this.#nPending > 0 || this.#isHeld) return
    const isBehind = this.#total - this.#next > WINDOW
    if (this.#isFollowing && (isBehind || this.#next - this.#first > WINDOW_MAX)) return this.#begin(this.#total - WINDOW / 2)
    if (this.#isFollowing || this.#next - this.#first < WINDOW) this.#append(this.#total, "")
    this.#tell()
  }

  /** Begins a window at an entry. It clears the terminal by an escape sequence, which also clears text that is not processed yet. */
  #begin(first: number, end = this.#total, ondone?: () => void): void {
    this.#generation++
    this.#writer = new RowWriter()
    this.#first = Math.max(this.store.dropped, first)
    this.#next = this.#first
    this.#lastWritten = undefined
    const at = this.#first - this.store.dropped
    for (let index = Math.max(0, at - BEFORE_MAX); index < at; index++) this.#writer.pass(this.store.at(index)!)
    this.#append(end, "\x1bc", ondone)
  }

  /** Writes entries up to a number, as many as fit into a frame; the rest follows in the next frames. */
  #append(end: number, before: string, ondone?: () => void): void {
    const look = rowLook(this.options.isDark, this.options.hasTimes)
    const n = ondone ? 4 : 1
    let text = before
    const last = Math.min(end, this.#next + ENTRIES_A_FRAME_MAX * n)
    while (this.#next < last && text.length < CHARS_A_FRAME_MAX * n) {
      const index = this.#next - this.store.dropped
      const entry = this.store.at(index)
      if (entry) text += this.#writer.write(entry, this.store.at(index + 1), look)
      this.#lastWritten = entry ?? this.#lastWritten
      this.#next++
    }
    if (text === "" && !ondone) return
    const generation = this.#generation
    this.#nPending++
    this.#terminal.write(text, () => {
      this.#nPending--
      if (generation === this.#generation) this.#written(ondone)
    })
  }

  #written(ondone?: () => void): void {
    ondone?.()
    if (this.#isFollowing && !this.#isHeld) this.#terminal.scrollToBottom()
    if (this.#next < this.#total) this.#schedule()
    this.#tell()
  }

  /** Writes the window again around an entry, scrolls to it, and marks the hit in it if there is one. */
  #show(entry: number, nth?: number): void {
    this.#isFollowing = false
    this.#begin(entry - WINDOW / 2, entry, () => {
      const marker = this.#terminal.registerMarker(0)
      const isFirst = this.#next === this.#first
      this.#append(entry + WINDOW / 2, "", () => {
        const line = (marker?.line ?? 0) + (isFirst ? 0 : 1)
        marker?.dispose()
        this.#terminal.scrollToLine(Math.max(0, line - (nth === undefined ? 0 : Math.floor(this.#terminal.rows / 3))))
        if (nth !== undefined) this.#mark(line, nth)
      })
    })
  }

  #mark(line: number, nth: number): void {
    const decorations = hitColours(this.options.isDark)
    this.#terminal.select(0, line, 1)
    for (let n = 0; n <= Math.min(nth, 1_000); n++) this.#search.findNext(this.#term, { incremental: n === 0, decorations })
  }

  /** The approximate entry at the top of the visible part. */
  #topEntry(): number {
    const buffer = this.#terminal.buffer.active
    const share = buffer.length > 0 ? buffer.viewportY / buffer.length : 0
    return this.#first + Math.floor((this.#next - this.#first) * share)
  }

  #tell(): void {
    this.onstate({
      earlier: Math.max(0, this.#first - this.store.dropped), later: Math.max(0, this.#total - this.#next),
      isFollowing: this.#isFollowing,
    })
  }
}

/** Addresses that may be opened, without the punctuation that usually stands around an address. */
const LINK = /https?:\/\/[^\s"'<>`{}|\\^⟨⟩]{1,2000}[^\s"'<>`{}|\\^⟨⟩.,:;!?)\]]/

function open(event: MouseEvent, address: string): void {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (event.button === 0 && url && (url.protocol === "http:" || url.protocol === "https:")) {
    window.open(url.href, "_blank", "noopener,noreferrer")
  }
}

/** Whether a key is for the terminal: it gets only keys that scroll, and not those of the page and the browser. */
function isForTerminal(event: KeyboardEvent): boolean {
  const isScroll = ["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"].includes(event.key)
  return isScroll && !event.ctrlKey && !event.metaKey
}
