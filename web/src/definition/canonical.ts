/**
 * The canonical text of a JSON value, and the job ids that are hashes of it. It is the same byte for byte as in existing clients
 * and the server; `protocol/vectors/job-ids.json` is tested on both sides.
 */
import type { Definition } from "../wire.ts"
import { sha256Hex } from "./sha256.ts"
import { isObject } from "./shape.ts"

/** Deeper values are refused: the server refuses them too, and recursion needs a limit. */
export const DEPTH_MAX = 120

/**
 * JSON without spaces, with keys sorted by UTF-16 code units. Members that are undefined, functions or symbols are left out. Throws
 * a `RangeError` for a value that is nested too deeply, such as a cycle, and a `TypeError` for a bigint.
 */
export function stableText(value: unknown): string {
  return write(value, 0) ?? "null"
}

function write(value: unknown, depth: number): string | undefined {
  if (depth > DEPTH_MAX) throw new RangeError(`it is nested deeper than ${DEPTH_MAX} levels`)
  if (typeof value !== "object" || value === null) return JSON.stringify(value) as string | undefined
  if (Array.isArray(value)) return `[${Array.from(value, (item) => write(item, depth + 1) ?? "null").join(",")}]`
  const members = value as Record<string, unknown>
  const pieces: string[] = []
  for (const key of Object.keys(members).sort()) {
    const text = write(members[key], depth + 1)
    if (text !== undefined) pieces.push(`${JSON.stringify(key)}:${text}`)
  }
  return `{${pieces.join(",")}}`
}

/** Members of a definition that become part of its id unchanged, if they are not null. */
const MEMBERS = new Set(["v", "image", "command", "entrypoint", "workdir", "shmSize", "maxDuration", "tags"])
const BUILD = new Set(["context", "buildContext", "filename", "target", "dockerfile", "buildArgs", "platform"])
const REQUIREMENTS = new Set(["cpus", "gpus", "maxDuration", "memory"])
/**
 * Parameters that an embedding page adds to the client's address only for the client. Parameters with the prefix `mp-` or `mp_`
 * are such parameters too.
 */
const OF_PAGE = new Set(["channel", "CHANNEL", "readonly", "edit", "parent-metapage-id", "fs-path"])

/** Whether a variable belongs to the embedding page. Such a variable does not become part of the job or of its id. */
export function isOfPage(name: string): boolean {
  return /^mp[-_]/.test(name) || OF_PAGE.has(name)
}

/** The text whose hash is the id of a definition: it contains only the parts that change what the job does. */
export function canonicalText(definition: Definition): string {
  if (!isObject(definition)) return stableText(definition)
  const counted = Object.entries(definition).map(([name, value]) => [name, countedMember(name, value)] as const)
  return stableText(Object.fromEntries(counted.filter(([, value]) => value !== undefined)))
}

/** The id of a definition: lowercase hex SHA-256 of its canonical text. */
export function jobIdOf(definition: Definition): string {
  return hashOf(canonicalText(definition))
}

/**
 * The id of a definition by the rule of clients up to 0.54.80; the server finds the job by this id too. All members count except
 * refs' `hash`, the signatures of presigned URLs, `env.channel` and `env.CHANNEL`.
 */
export function oldJobIdOf(definition: Definition): string {
  if (!isObject(definition)) return hashOf(stableText(definition))
  const { inputs, configFiles, env, ...rest } = definition
  const copy: Record<string, unknown> = { ...rest }
  if (inputs !== undefined) copy.inputs = bareRefs(inputs)
  if (configFiles !== undefined) copy.configFiles = bareRefs(configFiles)
  if (env !== undefined) copy.env = withoutChannel(env)
  return hashOf(stableText(copy))
}

function hashOf(text: string): string {
  return sha256Hex(new TextEncoder().encode(text))
}

/** The part of a member that counts; undefined if it is empty. */
function countedMember(name: string, value: unknown): unknown {
  if (value === undefined || value === null) return undefined
  if (MEMBERS.has(name)) return value
  switch (name) {
    case "build": return filled(value, (member) => BUILD.has(member))
    case "requirements": return filled(value, (member) => REQUIREMENTS.has(member))
    case "env": return filled(value, (variable) => !isOfPage(variable), true)
    case "inputs": case "configFiles": return isObject(value) ? filled(mapped(value, contentOf), () => true, true) : value
    // Existing clients do not have this member.
    case "secrets": return Array.isArray(value) && value.length === 0 ? undefined : value
    default: return undefined
  }
}

/**
 * The selected members of an object that are not null; undefined if there are none. A value that is not an object stays as it is.
 */
function filled(value: unknown, isWanted: (name: string) => boolean, takesNull = false): unknown {
  if (!isObject(value)) return value
  const kept = Object.entries(value).filter(([name, inner]) =>
    isWanted(name) && inner !== undefined && (takesNull || inner !== null))
  return kept.length > 0 ? Object.fromEntries(kept) : undefined
}

function bareRefs(refs: unknown): unknown {
  return isObject(refs) ? mapped(refs, bareRef) : refs
}

function mapped(refs: Record<string, unknown>, of: (ref: unknown) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(refs).map(([name, ref]) => [name, of(ref)]))
}

/** The parts of a ref that count in the id: its value and its type. */
function contentOf(ref: unknown): unknown {
  const bare = bareRef(ref)
  if (!isObject(bare)) return bare
  return { ...("value" in bare && { value: bare.value }), ...(bare.type !== null && { type: bare.type }) }
}

function bareRef(ref: unknown): unknown {
  if (!isObject(ref)) return ref
  const { hash: _, ...bare } = ref
  return bare.type === "url" && typeof bare.value === "string" ? { ...bare, value: unsigned(bare.value) } : bare
}

/** Storage of the existing system, whose URLs have a new signature for every reader. */
const PRESIGNED_ORIGIN = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com"

function unsigned(url: string): string {
  const at = url.indexOf("/presignedurl/")
  if (at >= 0) return url.slice(0, at)
  return url.startsWith(PRESIGNED_ORIGIN) ? url.replace(/[?#].*$/s, "") : url
}

function withoutChannel(env: unknown): unknown {
  if (!isObject(env)) return env
  return Object.fromEntries(Object.entries(env).filter(([key, value]) => !((key === "channel" || key === "CHANNEL") && value)))
}
