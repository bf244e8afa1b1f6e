/** What an end means, and what to do next about it: short sentences for a person, or nothing. */
import type { Definition, Fault, Reason } from "../wire.ts"

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
  /** The exit code. */
  readonly status: number | undefined
  /** Why it has no result, as programs read it. */
  readonly code: string | undefined
  readonly fault: Fault | undefined
  /** Whether the worker explained the exit code in words of its own. */
  readonly isExplained: boolean
  readonly definition: Definition | undefined
}

const MEMORY = "Raise “Memory” in the settings"
const EXIT_HINTS: Readonly<Record<number, string>> = {
  125: "Check the entrypoint and the working directory in the settings.",
  126: "Make the file executable, or call it with its interpreter, such as sh main.sh.",
  127: "Check the command's spelling, or take an image that has it.",
}
const IMAGE_HINT = "Check the image's name and tag; a private image needs a worker that may pull it."
/** What helps against an end that is the job's own. */
const CODE_HINTS: Readonly<Record<string, string>> = {
  "command-not-found": EXIT_HINTS[127]!,
  "command-not-executable": EXIT_HINTS[126]!,
  "command-invalid": "Check the command, the entrypoint and the sizes in the settings.",
  "definition-invalid": "Check the settings.",
  "container-refused": EXIT_HINTS[125]!,
  "disk-exceeded": "Write less at a time, or take a worker that gives a job more disk.",
  "wrote-to-stderr": "Write to stdout, or take a worker that lets a job write to stderr.",
  "image-reference-invalid": "Check the image's name and tag.",
  "image-not-found": IMAGE_HINT,
  "image-denied": IMAGE_HINT,
  "build-failed": "Mend the Dockerfile at that step; what it wrote is in the log.",
  "build-exceeded": "Make the build write less: fewer files in the context, smaller steps.",
  "build-context-invalid": "Check the build's context in the settings.",
  "build-context-not-found": "Check the address of the build's context, and that everybody may read it.",
  "input-invalid": "Check the names and the contents of the inputs.",
  "input-not-found": "Check the address of the input, or add the file once more.",
  "output-refused": "Check what the job writes to /outputs.",
}
/** Whose fault it was, where it was not the job's, and what to do then. */
const FAULT_TEXTS: Readonly<Record<Exclude<Fault, "job">, string>> = {
  machine: "This was not your job's fault: a worker's machine failed. Run it again; another worker may take it.",
  network: "This was not your job's fault: a server on the network did not answer as it should. Run it again in some minutes.",
  settings: "This was not your job's fault: the settings of the worker do not let it run. Ask the worker's owner, or start a "
    + "worker of your own and run it again.",
  cluster: "This was not your job's fault: the server or its storage failed. Run it again in some minutes.",
}

/** Whether the job itself has no part in its end. */
export function isOthersFault(fault: Fault | undefined): fault is Exclude<Fault, "job"> {
  return fault !== undefined && fault !== "job"
}

/** What to do next about an end. */
export function endingHint({ reason, status, code, fault, isExplained, definition }: Ending): string {
  if (isOthersFault(fault)) return FAULT_TEXTS[fault]
  switch (reason) {
    // A worker that says why the program was killed has looked whether it was for want of memory.
    case "Success": return status === 137 ? (isExplained ? "" : killedHint(definition)) : (EXIT_HINTS[status ?? 0] ?? "")
    case "TimedOut": return timeHint(definition)
    case "Error": return code === "out-of-memory" ? killedHint(definition)
      : code === "timed-out" || code === "build-timed-out" ? timeHint(definition) : hintIn(CODE_HINTS, code)
    case "WorkerLost": return "If none takes it, start a worker: the command is in the queue panel."
    case "JobReplacedByClient": return "To keep both, give this frame a namespace of its own: Settings, Advanced."
    default: return ""
  }
}

function killedHint(definition: Definition | undefined): string {
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

/** Codes come from a server that may be anybody's. */
function hintIn(hints: Readonly<Record<string, string>>, code: string | undefined): string {
  return code !== undefined && Object.hasOwn(hints, code) ? hints[code]! : ""
}

const LESS = "Ask for less in the settings, or start a worker that has it."
/** Reasons for which a job waits, and what helps; nothing where time alone does. */
const WAIT_HINTS: Readonly<Record<string, string>> = {
  "no-tag": "Take the tag out of the settings, or start a worker that carries it.",
  "no-gpus": LESS, "no-cpus": LESS, "no-memory": LESS, "no-worker-fits": LESS,
  "no-time": "Lower “Longest run” in the settings, or start a worker that allows it.",
  "queue-paused": "It goes on when the queue's owner lets it.",
}

/** What to do next about a job that waits. `start` says how a worker is started. */
export function waitingHint(
  nWorkers: number, code: string | undefined, start = "Start one: the command is in the queue panel.",
): string {
  return nWorkers === 0 ? start : hintIn(WAIT_HINTS, code)
}
