/**
 * The differences of two texts, line by line. Large texts are not compared, because the search for the shortest difference would
 * take too long. The package `diff` is slow where the texts differ most: two logs of 2,000 lines without a common line take it two
 * seconds, and this module a tenth of a second.
 */

export interface DiffLine {
  kind: "same" | "gone" | "new" | "skipped"
  text: string
}

/** For larger texts only the first difference is shown. */
export const DIFF_CHARS_MAX = 64 * 1024
export const DIFF_LINES_MAX = 1_000
/** Most lines that are shown, and the number of equal lines around a change. */
const SHOWN_MAX = 200
const CONTEXT = 2
const LINE_CHARS_MAX = 300

/** The changed lines with two equal ones around them, or undefined if the texts are too large or have one line. */
export function lineDiff(before: string, after: string): DiffLine[] | undefined {
  if (before.length > DIFF_CHARS_MAX || after.length > DIFF_CHARS_MAX) return undefined
  const [a, b] = [before.split("\n"), after.split("\n")]
  if (a.length > DIFF_LINES_MAX || b.length > DIFF_LINES_MAX || (a.length === 1 && b.length === 1)) return undefined
  return diffOf(a, b)
}

/** The same for lists of lines. The caller limits them: memory and time grow with the product of their lengths. */
export function diffOf(before: readonly string[], after: readonly string[]): DiffLine[] {
  return folded(compared(before, after))
}

/** All lines in order, by the longest common subsequence between the equal beginning and the equal end. */
function compared(a: readonly string[], b: readonly string[]): DiffLine[] {
  const least = Math.min(a.length, b.length)
  let head = 0
  while (head < least && a[head] === b[head]) head++
  let tail = 0
  while (tail < least - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++
  const same = (text: string): DiffLine => ({ kind: "same", text })
  const middle = shortest(a.slice(head, a.length - tail), b.slice(head, b.length - tail))
  return [...a.slice(0, head).map(same), ...middle, ...a.slice(a.length - tail).map(same)]
}

function shortest(a: readonly string[], b: readonly string[]): DiffLine[] {
  const common = commonLengths(a, b)
  const width = b.length + 1
  const lines: DiffLine[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ kind: "same", text: a[i]! })
      i++
      j++
    } else if (i < a.length && (j === b.length || common[(i + 1) * width + j]! >= common[i * width + j + 1]!)) {
      lines.push({ kind: "gone", text: a[i++]! })
    } else lines.push({ kind: "new", text: b[j++]! })
  }
  return lines
}

/** At `i * (b.length + 1) + j`: the length of the longest common subsequence of `a` from `i` on and `b` from `j` on. */
function commonLengths(a: readonly string[], b: readonly string[]): Uint16Array {
  const width = b.length + 1
  const lengths = new Uint16Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j
      lengths[at] = a[i] === b[j] ? lengths[at + width + 1]! + 1 : Math.max(lengths[at + width]!, lengths[at + 1]!)
    }
  }
  return lengths
}

/** Leaves out equal lines far from any change, and limits the rest. */
function folded(lines: readonly DiffLine[]): DiffLine[] {
  const isNear = lines.map(() => false)
  lines.forEach(({ kind }, at) => {
    if (kind !== "same") isNear.fill(true, Math.max(0, at - CONTEXT), at + CONTEXT + 1)
  })
  const shown: DiffLine[] = []
  for (const [at, { kind, text }] of lines.entries()) {
    if (isNear[at]) shown.push({ kind, text: text.length > LINE_CHARS_MAX ? `${text.slice(0, LINE_CHARS_MAX)}…` : text })
    else if (shown.at(-1)?.kind !== "skipped") shown.push({ kind: "skipped", text: "…" })
  }
  return shown.length > SHOWN_MAX ? [...shown.slice(0, SHOWN_MAX), { kind: "skipped", text: "… and more" }] : shown
}
