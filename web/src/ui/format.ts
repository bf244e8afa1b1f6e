/** `1.2 MB`: decimal units, as in file managers. */
export function bytesText(n: number): string {
  if (n < 1000) return `${n} B`
  const units = ["kB", "MB", "GB", "TB"]
  const at = Math.min(Math.floor(Math.log10(n) / 3), units.length)
  const shown = n / 1000 ** at
  return `${shown < 9.95 ? shown.toFixed(1) : Math.round(shown)} ${units[at - 1]}`
}

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`. Negative times, from clocks that disagree, count as zero. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
  return `${Math.floor(whole / 86_400)} days`
}

/** `just now`, `5 min ago`, `3 h ago`, and a date after a day. */
export function agoText(time: number, now: number): string {
  const seconds = (now - time) / 1000
  if (seconds < 10) return "just now"
  if (seconds < 60) return `${Math.floor(seconds)} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`
  return new Date(time).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" })
}

/** `14:03:07.250` in local time. */
export function timeText(time: number): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return "--:--:--.---"
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`
}

/** `1,234`. */
export function countText(n: number): string {
  return n.toLocaleString("en-US")
}

/** `1 line`, `2 lines`. */
export function plural(n: number, one: string): string {
  return `${countText(n)} ${n === 1 ? one : `${one}s`}`
}

function two(n: number): string {
  return String(n).padStart(2, "0")
}
