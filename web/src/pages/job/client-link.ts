import { encodeB64Json } from "../../hash/b64json.ts"
import { encodeValue } from "../../hash/fragment.ts"
import type { DataRef, Definition } from "../../wire.ts"

/** Characters of an address that every browser accepts. */
const ADDRESS_CHARS_MAX = 2_000_000

/**
 * The address of the client with a job. The job's text files become `inputs`, the rest of it becomes `job`. Other config files
 * become inputs of the job, which keep their name below `/inputs`. Undefined when the definition is too large for an address, or
 * nested too deeply.
 */
export function clientLink(root: URL, definition: Definition, queue: string | undefined): string | undefined {
  try {
    return linkOf(root, definition, queue)
  } catch {
    // Nested too deeply for an address.
    return undefined
  }
}

function linkOf(root: URL, definition: Definition, queue: string | undefined): string | undefined {
  const { configFiles = {}, ...job } = structuredClone(definition)
  const texts: [string, string][] = []
  const others: [string, DataRef][] = []
  for (const [name, ref] of Object.entries(configFiles)) {
    const isText = typeof ref.value === "string" && (ref.type ?? "utf8") === "utf8"
    if (isText) texts.push([name, ref.value as string])
    else others.push([name, ref])
  }
  const inputs = { ...job.inputs, ...Object.fromEntries(others) }
  if (Object.keys(inputs).length > 0) job.inputs = inputs
  const parameters = [
    texts.length > 0 ? `inputs=${encoded(Object.fromEntries(texts))}` : "",
    `job=${encoded(job)}`,
    queue ? `queue=${encodeValue(queue)}` : "",
  ]
  const link = `${root.href}#?${parameters.filter((parameter) => parameter !== "").join("&")}`
  return link.length > ADDRESS_CHARS_MAX ? undefined : link
}

/** JSON in the form of the fragment. */
function encoded(value: unknown): string {
  return encodeValue(encodeB64Json(value))
}
