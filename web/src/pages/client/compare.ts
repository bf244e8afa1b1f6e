/** The differences between two runs. */
import type { PastRun } from "../../client/client.ts"
import { parseFragment } from "../../hash/fragment.ts"
import { readParams } from "../../hash/read.ts"
import { resolveQueue } from "../../queue/address.ts"
import type { Definition } from "../../wire.ts"
import { type Change, changesOf } from "./changes.ts"

/** A definition with the texts of its files in place of their addresses, so that lines can be compared. */
export function withTexts(definition: Definition, texts: Readonly<Record<string, string>>): Definition {
  const files = Object.entries(definition.configFiles ?? {}).map(([name, ref]) =>
    [name, Object.hasOwn(texts, name) ? { type: "utf8" as const, value: texts[name] } : ref] as const)
  return files.length === 0 ? definition : { ...definition, configFiles: Object.fromEntries(files) }
}

/** The definition of a past run, with the texts of its fragment. */
export function definitionOfRun({ definition, fragment }: PastRun): Definition {
  return withTexts(definition, readParams(parseFragment(fragment), new Map()).values.inputs)
}

/** The differences in the definitions of two runs. */
export function changesBetween(before: PastRun, after: PastRun): Change[] {
  return changesOf(definitionOfRun(before), definitionOfRun(after))
}

/** The page of a run, at the server of its queue. */
export function permalinkOf({ id, queue }: Pick<PastRun, "id" | "queue">, root: URL): string {
  return `${baseOf(queue, root)}/j/${encodeURIComponent(id)}`
}

function baseOf(queue: string, root: URL): string {
  const own = root.href.replace(/\/+$/, "")
  try {
    return resolveQueue({ queue, queueOverride: "", ignoreQueueOverride: true }, root)?.base ?? own
  } catch {
    return own
  }
}
