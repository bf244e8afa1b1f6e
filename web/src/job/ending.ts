/** The meaning of an end, and what to do next: short sentences, or nothing. */
import type { Definition, Fault, Reason } from "../wire.ts"

const EXIT_CODES: Readonly<Record<number, string>> = {
  125: "the container could not be started", 126: "the command cannot be executed", 127: "the command was not found",
  130: "it was interrupted", 134: "the program aborted", 137: "it was killed, often because of too little memory",
  139: "the program crashed (segmentation fault)", 143: "it was told to end",
}

/** The usual meaning of an exit code; empty for 0 and for codes without one. */
export function exitMeaning(code: number): string {
  if (code > 128 && code < 160 && !EXIT_CODES[code]) return `signal ${code - 128} ended it`
  return EXIT_CODES[code] ?? ""
}

export interface Ending {
  readonly reason: Reason | undefined
  /** The exit code. */
  readonly status: number | undefined
  /** Why the job has no result, as a code for programs. */
  readonly code: string | undefined
  readonly fault: Fault | undefined
  /** Whether the worker explained the exit code itself. */
  readonly isExplained: boolean
  readonly definition: Definition | undefined
}

const MEMORY = "Raise “Memory” in the settings"
const EXIT_HINTS: Readonly<Record<number, string>> = {
  125: "Check the entrypoint and the working directory in the settings.",
  126: "Make the file executable, or call it with its interpreter, such as sh main.sh.",
  127: "Check the command's spelling, or use an image that has it.",
}
const IMAGE_HINT = "Check the image's name and tag; a private image needs a worker that may pull it."
/** Advice for an end that is the job's fault. */
const CODE_HINTS: Readonly<Record<string, string>> = {
  "command-not-found": EXIT_HINTS[127]!,
  "command-not-executable": EXIT_HINTS[126]!,
  "command-invalid": "Check the command, the entrypoint and the sizes in the settings.",
  "definition-invalid": "Check the settings.",
  "container-refused": EXIT_HINTS[125]!,
  "disk-exceeded": "Write less at a time, or use a worker that gives a job more disk.",
  "wrote-to-stderr": "Write to stdout, or use a worker that lets a job write to stderr.",
  "image-reference-invalid": "Check the image's name and tag.",
  "image-not-found": IMAGE_HINT,
  "image-denied": IMAGE_HINT,
  "build-failed": "Fix the Dockerfile at that step; its output is in the log.",
  "build-exceeded": "Make the build write less: fewer files in the context, smaller steps.",
  "build-context-invalid": "Check the build's context in the settings.",
  "build-context-not-found": "Check the address of the build's context, and that everyone may read it.",
  "input-invalid": "Check the names and the contents of the inputs.",
  "input-not-found": "Check the address of the input, or add the file again.",
  "output-refused": "Check what the job writes to /outputs.",
}
/** Whose fault it was, if not the job's, and what to do. */
const FAULT_TEXTS: Readonly<Record<Exclude<Fault, "job">, string>> = {
  machine: "This was not your job's fault: a worker's machine failed. Run it again; another worker may take it.",
  network: "This was not your job's fault: a server on the network did not answer correctly. Run it again in a few minutes.",
  settings: "This was not your job's fault: the settings of the worker do not let it run. Ask the worker's owner, or start a "
    + "worker of your own and run it again.",
  cluster: "This was not your job's fault: the server or its storage failed. Run it again in a few minutes.",
}

/** Whether the end was not the job's fault. */
export function isOthersFault(fault: Fault | undefined): fault is Exclude<Fault, "job"> {
  return fault !== undefined && fault !== "job"
}

/** What the user can do next after a job has ended. */
export function endingHint({ reason, status, code, fault, isExplained, definition }: Ending): string {
  if (isOthersFault(fault)) return FAULT_TEXTS[fault]
  switch (reason) {
    // If the worker explained the exit code, it has already checked whether memory was the cause.
    case "Success": return status === 137 ? (isExplained ? "" : killedHint(definition)) : (EXIT_HINTS[status ?? 0] ?? "")
    case "TimedOut": return timeHint(definition)
    case "Error": return code === "out-of-memory" ? killedHint(definition)
      : code === "timed-out" || code === "build-timed-out" ? timeHint(definition) : hintIn(CODE_HINTS, code)
    case "WorkerLost": return "If no other worker takes the job, start one: the command is in the queue panel."
    case "JobReplacedByClient": return "To keep both, give this frame a namespace of its own: Settings, Advanced."
    default: return ""
  }
}

function killedHint(definition: Definition | undefined): string {
  const memory = definition?.requirements?.memory
  return memory === undefined ? `${MEMORY}, so that a worker with enough memory takes it.` : `${MEMORY} above ${short(memory)}.`
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

/** The hint for a code. The code comes from an untrusted server, so it may be the name of an inherited member. */
function hintIn(hints: Readonly<Record<string, string>>, code: string | undefined): string {
  return code !== undefined && Object.hasOwn(hints, code) ? hints[code]! : ""
}

const LESS = "Ask for less in the settings, or start a worker that has it."
/** Advice by the reason why a job waits. A reason for which only time helps has no advice. */
const WAIT_HINTS: Readonly<Record<string, string>> = {
  "no-tag": "Remove the tag in the settings, or start a worker that has it.",
  "no-gpus": LESS, "no-cpus": LESS, "no-memory": LESS, "no-worker-fits": LESS,
  "no-time": "Lower “Longest run” in the settings, or start a worker that allows it.",
  "queue-paused": "It continues when the queue's owner ends the pause.",
}

/** Advice for a waiting job. `start` says how to start a worker. */
export function waitingHint(
  nWorkers: number, code: string | undefined, start = "Start one: the command is in the queue panel.",
): string {
  return nWorkers === 0 ? start : hintIn(WAIT_HINTS, code)
}
