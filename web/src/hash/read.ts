/** The fourteen parameters, as values. Reading never throws: malformed or too large values count as absent and are reported. */
import type { MetaframeDefinition, ReadParams } from "../client/client.ts"
import { DEPTH_MAX, isOfPage, stableText } from "../definition/canonical.ts"
import { asControl, asDefinition, ENTRIES_MAX, isObject } from "../definition/shape.ts"
import { decodeB64Json } from "./b64json.ts"
import { decodeValue, type Fragment } from "./fragment.ts"

/** Most characters of a parameter that is a name, an address or a duration. */
const STRING_CHARS_MAX = 2_048
/** Most characters of an environment variable's value: the kernel accepts no longer ones. */
const VARIABLE_CHARS_MAX = 131_000

export type ParamValues = ReadParams

/** Values by their written form, so that an unchanged value is the same object at each read. */
export type Memory = Map<string, { raw: string; value: unknown; problem?: string }>

const DECODERS: Record<string, (raw: string) => unknown> = {
  job: (raw) => bounded(asDefinition(decodeB64Json(raw))),
  inputs: (raw) => asTexts(decodeB64Json(raw)),
  control: (raw) => bounded(asControl(decodeB64Json(raw))),
  definition: (raw) => bounded(asMetaframeDefinition(decodeB64Json(raw))),
  queue: string,
  queueOverride: string,
  maxJobDuration: string,
  ignoreQueueOverride: boolean,
  autostart: boolean,
  allowsetjob: boolean,
  resolverefs: boolean,
  terminal: boolean,
  debug: boolean,
  config: () => undefined,
}

/** Reads a fragment. Returns the values, and the name and the reason of each parameter that cannot be read. */
export function readParams(fragment: Fragment, memory: Memory): { values: ParamValues; problems: Map<string, string> } {
  const known = new Map<string, unknown>()
  const others: [string, string][] = []
  const problems = new Map<string, string>()
  for (const name of memory.keys()) if (!fragment.raw.has(name)) memory.delete(name)
  for (const [name, raw] of fragment.raw) {
    if (isOfPage(name)) continue
    const { value, problem } = remembered(name, raw, memory)
    if (problem !== undefined) problems.set(name, problem)
    else if (isDeclared(name)) known.set(name, value)
    else others.push([name, value as string])
  }
  const values = { ...DEFAULTS, ...Object.fromEntries(known), others: Object.fromEntries(others) }
  return { values, problems }
}

const DEFAULTS: Omit<ParamValues, "others"> = {
  job: undefined, inputs: {}, queue: "", queueOverride: "", ignoreQueueOverride: false, control: undefined, autostart: false,
  allowsetjob: false, resolverefs: false, terminal: false, debug: false, maxJobDuration: "", definition: undefined,
}

function isDeclared(name: string): boolean {
  return Object.hasOwn(DECODERS, name)
}

function remembered(name: string, raw: string, memory: Memory): { value: unknown; problem?: string } {
  const known = memory.get(name)
  if (known?.raw === raw) return known
  const fresh = { raw, ...decoded(name, raw) }
  memory.set(name, fresh)
  return fresh
}

function decoded(name: string, raw: string): { value: unknown; problem?: string } {
  try {
    return { value: isDeclared(name) ? DECODERS[name]!(raw) : variable(raw) }
  } catch (error) {
    const isOurs = error instanceof TypeError || error instanceof RangeError
    return { value: undefined, problem: isOurs ? error.message : "it is not JSON in base64" }
  }
}

function string(raw: string): string {
  const text = decodeValue(raw)
  if (text.length > STRING_CHARS_MAX) throw new RangeError(`it is longer than ${STRING_CHARS_MAX} characters`)
  return text
}

function variable(raw: string): string {
  const text = decodeValue(raw)
  if (text.length > VARIABLE_CHARS_MAX) throw new RangeError(`it is longer than ${VARIABLE_CHARS_MAX} characters`)
  if (text.includes("\0")) throw new RangeError("it contains a NUL, which environment variables cannot contain")
  return text
}

function boolean(raw: string): boolean {
  return decodeValue(raw) === "true"
}

/** Refuses values that are nested too deeply. */
function bounded<T>(value: T): T {
  try {
    stableText(value)
  } catch {
    throw new RangeError(`it is nested deeper than ${DEPTH_MAX} levels`)
  }
  return value
}

function asTexts(value: unknown): Record<string, string> {
  const isRight = isObject(value) && Object.values(value).every((text) => typeof text === "string")
  if (!isRight) throw new TypeError("it is an object of file names and their text")
  if (Object.keys(value).length > ENTRIES_MAX) throw new RangeError(`it has more than ${ENTRIES_MAX} files`)
  return value as Record<string, string>
}

function asMetaframeDefinition(value: unknown): MetaframeDefinition {
  const isMap = (map: unknown): boolean => map === undefined || map === null
    || (isObject(map) && Object.values(map).every(isObject))
  const isRight = isObject(value) && isMap(value.inputs) && isMap(value.outputs)
  if (!isRight) throw new TypeError("it is an object whose inputs and outputs are objects by name")
  return value as MetaframeDefinition
}
