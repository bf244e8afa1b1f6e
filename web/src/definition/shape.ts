/**
 * Whether an untrusted value has the shape of a definition, as far as the page and the id rely on it. `null` counts as an absent
 * member, as on the server.
 */
import type { Control, Definition } from "../wire.ts"

type Check = (value: unknown) => boolean

/** An object that is not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

const isText: Check = (value) => typeof value === "string"
const isAmount: Check = (value) => typeof value === "string" || typeof value === "number"
const isScalar: Check = (value) => isAmount(value) || typeof value === "boolean"
const listOf = (check: Check): Check => (value) => Array.isArray(value) && value.length <= ENTRIES_MAX && value.every(check)
const mapOf = (check: Check): Check => (value) =>
  isObject(value) && Object.keys(value).length <= ENTRIES_MAX && Object.values(value).every(check)
const membersOf = (checks: Record<string, Check>): Check => (value) => isObject(value) && wrongMember(value, checks) === undefined

/** Most inputs, config files or variables of one definition: the server accepts no more. */
export const ENTRIES_MAX = 1_000

const BUILD: Record<string, Check> = {
  context: isText, buildContext: isText, filename: isText, target: isText, dockerfile: isText, buildArgs: listOf(isText),
  platform: isText,
}
const REQUIREMENTS: Record<string, Check> = { cpus: isAmount, gpus: isAmount, memory: isAmount, maxDuration: isAmount }
const DEFINITION: Record<string, Check> = {
  image: isText, build: membersOf(BUILD), command: isText, entrypoint: isText, workdir: isText, env: mapOf(isScalar),
  shmSize: isAmount,
  inputs: mapOf(isObject), configFiles: mapOf(isObject), maxDuration: isAmount, secrets: listOf(isText), tags: listOf(isText),
  requirements: membersOf(REQUIREMENTS),
}
const CONTROL: Record<string, Check> = { namespace: isText, maxDuration: isAmount, callbacks: isObject, outputs: isObject }

function wrongMember(value: Record<string, unknown>, checks: Record<string, Check>): string | undefined {
  return Object.keys(checks).find((name) => value[name] !== undefined && value[name] !== null && !checks[name]!(value[name]))
}

/** The value as a definition. Throws a `TypeError` that says briefly what is wrong. */
export function asDefinition(value: unknown): Definition {
  return as("a job", value, DEFINITION) as Definition
}

/** The value as the control of a submission. Throws a `TypeError` in the same way. */
export function asControl(value: unknown): Control {
  return as("a control", value, CONTROL) as Control
}

function as(what: string, value: unknown, checks: Record<string, Check>): unknown {
  if (!isObject(value)) throw new TypeError(`${what} is a JSON object`)
  const wrong = wrongMember(value, checks)
  if (wrong !== undefined) throw new TypeError(`its member ${wrong} has the wrong type or too many entries`)
  return value
}
