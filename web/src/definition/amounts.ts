/**
 * Durations, sizes and image references, parsed as on the server: `protocol/vectors/definitions.json` is tested on both sides,
 * and in SQL.
 */

const UNITS_MS: readonly (readonly [RegExp, number])[] = [
  [/^(ms|msecs?|milliseconds?)$/, 1], [/^(s|secs?|seconds?)$/, 1_000], [/^(m|mins?|minutes?)$/, 60_000],
  [/^(h|hrs?|hours?)$/, 3_600_000], [/^(d|days?)$/, 86_400_000], [/^(w|wks?|weeks?)$/, 604_800_000],
]
const DURATION_MS_MAX = 720 * 3_600_000
/** A job may not ask for a shorter time: a smaller number was probably meant in another unit. */
export const DURATION_MS_MIN = 1_000
/** Containers do not start with less memory. */
export const MEMORY_BYTES_MIN = 6 * 1024 * 1024

/** Milliseconds of `90s`, `1h30m`, `2 Hrs`, `1w`, `PT1H`, or a bare number of them; undefined when it is not a duration. */
export function durationMs(text: string): number | undefined {
  const written = text.trim().toLowerCase()
  if (/^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/.test(written)) return bounded(Number(written), DURATION_MS_MAX)
  let rest = written.replace(/^pt/, "")
  if (rest === "") return undefined
  let ms = 0
  while (rest !== "") {
    const part = /^(\d+\.?\d*|\.\d+)\s*([a-z]+)\s*,?\s*/.exec(rest)
    const unit = part && UNITS_MS.find(([pattern]) => pattern.test(part[2]!))
    if (!part || !unit) return undefined
    ms += Number(part[1]) * unit[1]
    rest = rest.slice(part[0].length)
  }
  return bounded(ms, DURATION_MS_MAX)
}

const SIZE = /^(\d+\.?\d*|\.\d+)(e\d{1,3})?\s*(|b|bytes?|k|kb|ki|kib|m|mb|mi|mib|g|gb|gi|gib|t|tb|ti|tib)$/

/** Bytes of `512m`, `4g`, `4GiB`, `512Mi`, or a bare number of them; undefined when it is not a size. */
export function sizeBytes(text: string): number | undefined {
  const part = SIZE.exec(text.trim().toLowerCase())
  if (!part) return undefined
  const power = "kmgt".indexOf(part[3]![0] ?? "-") + 1
  return bounded(Math.trunc(Number(part[1]! + (part[2] ?? "")) * 1024 ** power), Number.MAX_SAFE_INTEGER + 1)
}

function bounded(value: number, max: number): number | undefined {
  return value >= 0 && value <= max ? value : undefined
}

const SEGMENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*"
const PATH = new RegExp(`^${SEGMENT}(?:/${SEGMENT})*$`)
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
const HOST = new RegExp(`^${LABEL}(?:\\.${LABEL})*(?::[0-9]+)?$`)
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const DIGEST = /^[a-z0-9]+:[a-f0-9]{32,256}$/
const NAME_BYTES_MAX = 255

/** Whether this is a valid image name. */
export function isImage(text: string): boolean {
  const written = text.trim()
  const at = written.indexOf("@")
  const tagged = at < 0 ? written : written.slice(0, at)
  // A colon after the last slash starts a tag; one before it belongs to the registry's port.
  const colon = tagged.indexOf(":", tagged.lastIndexOf("/") + 1)
  const name = colon < 0 ? tagged : tagged.slice(0, colon)
  const [first] = name.split("/", 1) as [string]
  const hasHost = name.includes("/") && (/[.:]/.test(first) || first === "localhost")
  return new TextEncoder().encode(name).length <= NAME_BYTES_MAX
    && PATH.test(hasHost ? name.slice(first.length + 1) : name)
    && (!hasHost || HOST.test(first))
    && (colon < 0 || TAG.test(tagged.slice(colon + 1)))
    && (at < 0 || DIGEST.test(written.slice(at + 1)))
}
