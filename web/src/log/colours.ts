/**
 * The colours and styles that a stream has set and not reset. Code that writes its own text between two texts of the stream must
 * set them again after it.
 */

/** The slots that each parameter resets; 22 resets two. A slot is one property of the style, such as `bold` or `fg`. */
const ENDS: Readonly<Record<number, readonly string[]>> = {
  22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 25: ["blink"], 27: ["inverse"], 28: ["hidden"], 29: ["struck"],
  39: ["fg"], 49: ["bg"], 59: ["line"],
}
const STYLES: Readonly<Record<number, string>> = {
  1: "bold", 2: "dim", 3: "italic", 4: "underline", 5: "blink", 6: "blink", 7: "inverse", 8: "hidden", 9: "struck",
  21: "underline",
}
/** Colours that need several parameters: their first parameter, and the slot. */
const LONG: Readonly<Record<number, string>> = { 38: "fg", 48: "bg", 58: "line" }

/** The styles in effect. It holds at most one value for each slot, so its size is bounded for any input. */
export class Colours {
  #set = new Map<string, string>()
  #text = ""

  /** The sequence that sets these styles again; empty if none is set. */
  get text(): string {
    return this.#text
  }

  /** Takes the parameters of one SGR sequence. */
  take(parameters: string): void {
    const all = parameters.split(";")
    for (let at = 0; at < all.length; at++) at += this.#one(all, at)
    this.#text = this.#set.size === 0 ? "" : `\x1b[${[...this.#set.values()].join(";")}m`
  }

  /** Takes the parameter at an index. Returns how many of the parameters after it belong to it. */
  #one(all: readonly string[], at: number): number {
    const word = all[at]!
    const code = Number.parseInt(word === "" ? "0" : word, 10)
    if (code === 0) this.#set.clear()
    for (const slot of ENDS[code] ?? []) this.#set.delete(slot)
    const long = LONG[code]
    if (long !== undefined) return this.#long(long, all, at)
    const slot = word === "4:0" ? undefined : STYLES[code] ?? slotOf(code)
    if (slot !== undefined) this.#set.set(slot, word)
    if (word === "4:0") this.#set.delete("underline")
    return 0
  }

  #long(slot: string, all: readonly string[], at: number): number {
    if (all[at]!.includes(":")) {
      this.#set.set(slot, all[at]!)
      return 0
    }
    const n = all[at + 1] === "5" ? 2 : all[at + 1] === "2" ? 4 : 0
    const words = all.slice(at, at + n + 1)
    if (n > 0 && words.length === n + 1 && words.every((word) => /^\d+$/.test(word))) this.#set.set(slot, words.join(";"))
    return n
  }
}

function slotOf(code: number): string | undefined {
  if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) return "fg"
  return (code >= 40 && code <= 47) || (code >= 100 && code <= 107) ? "bg" : undefined
}
