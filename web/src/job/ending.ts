/** What an end means, and what to do next about it: short sentences for a person, or nothing. */
import type { Definition, Reason } from "../wire.ts"

const EXIT_CODES: Readonly<Record<number, string>> = {
  125: "the container could not be started", 126: "the command cannot be executed", 127: "the command was not found",
  130: "it was interrupted", 134: "the program aborted", 137: "it was killed, often for want of memory",
  139: "the program crashed (segmentation fault)", 143: "it was told to end",
}

/** What an exit code usually means; empty for 0 and for what has no custom. */
export function exitMeaning(code: number): string {
  if (code > 128 && code < 160 && !EXIT_CODES[code]) return `signal ${code - 128} ended it`
  return EXIT_CODES[code] ?? ""
}

export interface Ending {
  readonly reason: Reason | undefined
  readonly code: number | undefined
  /** The server's or the worker's own words. */
  readonly message: string | undefined
  readonly definition: Definition | undefined
}

const MEMORY = "Raise “Memory” in the settings"
const EXIT_HINTS: Readonly<Record<number, string>> = {
  125: "Check the entrypoint and the working directory in the settings.",
  126: "Make the file executable, or call it with its interpreter, such as sh main.sh.",
  127: "Check the command's spelling, or take an image that has it.",
}
const IMAGE_HINT = "Check the image's name and tag; a private image needs a worker that may pull it."
/** Words of workers, engines and registries, and what helps against what they say. */
const ERROR_HINTS: readonly (readonly [RegExp, string])[] = [
  [/executable file not found|exec: .{0,200}no such file/i, EXIT_HINTS[127]!],
  [/exec: .{0,200}permission denied|exec format error/i, EXIT_HINTS[126]!],
  [/toomanyrequests|rate limit|said nothing for|TLS handshake|i\/o timeout/i, "Run it again later: the registry may be busy."],
  [/manifest unknown|manifest for|pull access denied|repository does not exist|no such image|failed to resolve/i, IMAGE_HINT],
  [/no such host|dial tcp|connection refused/i, "Check the image's name, or run it again later: the registry cannot be reached."],
  [/at step \d+\/\d+/i, "Mend the Dockerfile at that step; what it wrote is in the log."],
  [/lost workers/i, "Run it again; a job that loses each of its workers may use up its machine."],
]

/** What to do next about an end. */
export function endingHint({ reason, code, message = "", definition }: Ending): string {
  switch (reason) {
    case "Success": return code === 137 ? killedHint(message, definition) : (EXIT_HINTS[code ?? 0] ?? "")
    case "TimedOut": return timeHint(definition)
    case "Error": return /out of memory/i.test(message) ? killedHint("", definition)
      : (ERROR_HINTS.find(([words]) => words.test(message))?.[1] ?? "")
    case "WorkerLost": return "If none takes it, start a worker: the command is in the queue panel."
    case "JobReplacedByClient": return "To keep both, give this frame a namespace of its own: Settings, Advanced."
    default: return ""
  }
}

function killedHint(message: string, definition: Definition | undefined): string {
  if (message.includes("no lack of memory")) return ""
  const memory = definition?.requirements?.memory
  return memory === undefined ? `${MEMORY}, so that a worker with enough takes it.` : `${MEMORY} above ${short(memory)}.`
}

function timeHint(definition: Definition | undefined): string {
  const longest = definition?.maxDuration
  return longest === undefined || longest === ""
    ? "Set “Longest run” in the settings; a worker may still allow less."
    : `Raise “Longest run” in the settings above ${short(longest)}, as far as the workers allow it.`
}

function short(value: unknown): string {
  return String(value).slice(0, 20)
}

/** Reasons for which a job waits, and what helps. */
const WAIT_HINTS: readonly (readonly [RegExp, string])[] = [
  [/carries the tag/, "Take the tag out of the settings, or start a worker that carries it."],
  [/enough (?:gpus|cpus|memory)|all that it needs/, "Ask for less in the settings, or start a worker that has it."],
  [/allows a run as long/, "Lower “Longest run” in the settings, or start a worker that allows it."],
  [/paused/, "It goes on when the queue's owner lets it."],
]

/** What to do next about a job that waits. `start` says how a worker is started. */
export function waitingHint(
  nWorkers: number, why: string | undefined, start = "Start one: the command is in the queue panel.",
): string {
  if (nWorkers === 0) return start
  return WAIT_HINTS.find(([words]) => words.test(why ?? ""))?.[1] ?? ""
}
