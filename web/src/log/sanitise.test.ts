import { describe, expect, it } from "vitest"
import { Colours } from "./colours.ts"
import { LINE_CHARS_MAX, cutLine, endBlock, newRow, plainLine, sanitise } from "./sanitise.ts"

const safe = (line: string, prefix = ""): string => sanitise(line, prefix, { depth: 0, rows: 0, colours: new Colours() })

describe("sanitise", () => {
  it("passes text, colours, tabs and erasures", () => {
    expect(safe("a\tb \x1b[1;31mred\x1b[0m \x1b[38:2::1:2:3mx\x1b[K")).toBe("a\tb \x1b[1;31mred\x1b[0m \x1b[38:2::1:2:3mx\x1b[K")
  })
  it("removes titles, links and the clipboard, and keeps the text under a link", () => {
    expect(safe("\x1b]0;title\x07a\x1b]52;c;cm0gLXJm\x1b\\b\x1b]8;;http://evil\x1b\\text\x1b]8;;\x07")).toBe("abtext")
  })
  it("removes device strings, also without an end and in their eight-bit form", () => {
    expect(safe("a\x1bP1$q\x1b\\b\x90q\x9cc\x1b_apc\x1b\\d\x9d0;t\x07e\x1bPnever ends")).toBe("abcde")
  })
  it("removes other sequences: screens, cursors, reports, modes, resets", () => {
    expect(safe("\x1b[2J\x1b[H\x1b[?1049h\x1b[6n\x1b[c\x1bc\x1b7\x1b(0\x1b[5;5r\x1b[!p\x1b[>1m\x9b31mok")).toBe("ok")
  })
  it("removes other controls", () => {
    expect(safe("\x00\x07\x0b\x0c\x0e\x0f\x7f\x85\x84\u2028x\ufeff")).toBe("x")
  })
  it("makes directional controls visible", () => {
    expect(safe("a\u202eb\u2066c\u200f")).toBe("a⟨U+202E⟩b⟨U+2066⟩c⟨U+200F⟩")
  })
  it("replaces halves of surrogate pairs and keeps whole ones", () => {
    expect(safe("\ud800a\udc00 😀")).toBe("\ufffda\ufffd 😀")
  })
  it("leaves no escape of an endless or broken sequence", () => {
    for (const line of ["\x1b", "\x1b[", "\x1b[12", "\x1b[1;", "\x1b]", "\x1b\x1b[31", `\x1b[${"1;".repeat(100)}m`]) {
      expect(safe(line)).not.toMatch(/\x1b/)
    }
  })
  it("sets colours at the start of a line behind the prefix, which ends all of them", () => {
    expect(safe("\x1b[31merror\x1b[0m: x", "\x1b[0m> ")).toBe("\x1b[0m> \x1b[31merror\x1b[0m: x")
    expect(safe("\x1b[1m\x1b[38;5;9mx", "\x1b[0m> ")).toBe("\x1b[0m> \x1b[1;38;5;9mx")
    expect(safe("\x1b[32m10%\r20%", "\x1b[0m> ")).toBe("\x1b[0m> \x1b[32m10%\r\x1b[0m> \x1b[32m20%")
    expect(safe("\x1b[41m\x1b[Kx", "> ")).toBe("\x1b[41m\x1b[K> \x1b[41mx")
  })
  it("writes the prefix again after a return", () => {
    expect(safe("10%\r20%", "> ")).toBe("> 10%\r> 20%")
    expect(safe("\x1b[2K\x1b[1G20%", "> ")).toBe("\x1b[2K\r> 20%")
  })
  it("lets progress go up only over its own rows", () => {
    const cursor = { depth: 0, rows: 0, colours: new Colours() }
    expect(sanitise("\x1b[9Ax", "", cursor)).toBe("x")
    newRow(cursor)
    newRow(cursor)
    expect(sanitise("\x1b[9Ax\x1b[9B", "", cursor)).toBe("\x1b[2Ax\x1b[2B")
    sanitise("\x1b[1A", "", cursor)
    expect(endBlock(cursor)).toBe("\x1b[1B")
    expect(sanitise("\x1b[Ax", "", cursor)).toBe("x")
  })
  it("takes time linear in the line", () => {
    const start = performance.now()
    safe("\x1b]".repeat(200_000))
    safe("\x1b[1".repeat(200_000))
    expect(performance.now() - start).toBeLessThan(3_000)
  })
})

describe("Colours", () => {
  const after = (...all: string[]): string => {
    const colours = new Colours()
    for (const parameters of all) colours.take(parameters)
    return colours.text
  }
  it("keep what is set and not taken back, one value of each kind", () => {
    expect(after("1", "31", "4", "32")).toBe("\x1b[1;32;4m")
    expect(after("1;31", "39")).toBe("\x1b[1m")
    expect(after("1;2;3", "22")).toBe("\x1b[3m")
    expect(after("38;2;1;2;3;48;5;7", "")).toBe("")
    expect(after("31", "0;44")).toBe("\x1b[44m")
    expect(after("38;2;1;2;3;1")).toBe("\x1b[38;2;1;2;3;1m")
    expect(after("4:3", "58:2::1:2:3", "4:0", "59")).toBe("")
  })
  it("stay small and set nothing of broken ones", () => {
    for (const bad of ["38", "38;5", "38;2;1", "38;x", "999", ";;", "48;;"]) expect(after(bad), bad).toMatch(/^(\x1b\[1m)?$/)
    expect(after(...Array.from({ length: 10_000 }, (_, n) => `38;5;${n % 256}`)).length).toBeLessThan(20)
  })
})

describe("plainLine", () => {
  it("gives the last state of an overwritten line", () => {
    expect(plainLine("1%\r2%\r\x1b[32m3%\x1b[0m\r")).toBe("3%")
  })
  it("drops every escape", () => {
    expect(plainLine("\x1b]0;t\x07\x1b[1mb\u202e\ud800")).toBe("b⟨U+202E⟩\ufffd")
  })
})

describe("cutLine", () => {
  it("says how much was left out", () => {
    expect(cutLine("x".repeat(LINE_CHARS_MAX + 5)).left).toBe(5)
    expect(cutLine("x").left).toBe(0)
  })
})
