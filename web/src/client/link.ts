/** A link to the job of a page in a frame, with the inputs of its parent. */
import { base64Of } from "../definition/base64.ts"
import { type Input, inputName } from "../definition/inputs.ts"
import { encodeB64Json } from "../hash/b64json.ts"
import { encodeValue, FRAGMENT_CHARS_MAX, fragmentText, parseFragment, withValues } from "../hash/fragment.ts"
import type { DataRef, Definition } from "../wire.ts"

/** Most bytes of one input: encoded twice they are about four times as long. */
const INPUT_BYTES_MAX = FRAGMENT_CHARS_MAX / 4

/**
 * The fragment with the inputs as part of the job, which does not change the job's id. Undefined if they are too large for an
 * address.
 */
export async function linkOf(
  text: string, job: Definition | undefined, inputs: readonly (readonly [string, Input])[],
): Promise<string | undefined> {
  if (!job || inputs.length === 0) return text
  const refs: [string, DataRef][] = []
  for (const [name, input] of inputs) {
    if (input instanceof Blob && input.size > INPUT_BYTES_MAX) return undefined
    const bytes = input instanceof Blob ? new Uint8Array(await input.arrayBuffer()) : undefined
    refs.push([inputName(name), bytes ? { type: "base64", value: base64Of(bytes) } : input as DataRef])
  }
  const whole = { ...job, inputs: { ...job.inputs, ...Object.fromEntries(refs) } }
  const fragment = fragmentText(withValues(parseFragment(text), new Map([["job", encodeValue(encodeB64Json(whole))]])))
  return fragment.length <= FRAGMENT_CHARS_MAX ? fragment : undefined
}
