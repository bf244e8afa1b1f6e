/** Turns the job of the fragment into the definition that is sent. Pure: it never changes its arguments. */
import type { Definition } from "../wire.ts"
import { type Input, inputName } from "./inputs.ts"

/** A definition whose inputs may still be bytes. */
export interface Draft {
  readonly rest: Definition
  readonly inputs: ReadonlyMap<string, Input>
  readonly configFiles: ReadonlyMap<string, Input>
}

export interface Sources {
  /** The `job` parameter. */
  readonly job: Definition
  /** Variables of the fragment, in its order. */
  readonly environment: Readonly<Record<string, string>>
  /** The `inputs` parameter: text by file name. */
  readonly texts: Readonly<Record<string, string>>
  /** The files of the parent page, then those that the user dropped; of two with the same name the last counts. */
  readonly inputs: Iterable<readonly [string, Input]>
}

/** Whether there is anything to run. */
export function isRunnable(job: Definition | undefined): job is Definition {
  return Boolean(job?.image) || isFilled(job?.build)
}

/**
 * Builds a definition. Empty maps are left out, so that the job gets the same id as from every other client; `configFiles` of the
 * job are always replaced.
 */
export function build({ job, environment, texts, inputs }: Sources): Draft {
  const { inputs: ownInputs, configFiles: _, env: ownEnv, requirements, ...bare } = copyOf(job)
  const env = { ...ownEnv, ...environment }
  const rest: Definition = { ...bare, ...(isFilled(requirements) && { requirements }), ...(isFilled(env) && { env }) }
  for (const [name, value] of Object.entries(environment)) {
    if (typeof rest.command === "string") rest.command = withValue(rest.command, name, value)
    if (typeof rest.build?.context === "string") rest.build.context = withValue(rest.build.context, name, value)
  }
  const all = new Map<string, Input>(Object.entries(ownInputs ?? {}))
  for (const [name, input] of inputs) all.set(inputName(name), input)
  return {
    rest,
    inputs: all,
    configFiles: new Map(Object.entries(texts).map(([name, value]) => [name, { value, type: "utf8" }])),
  }
}

/** Whether a map has entries. A build without entries does not count, as in the id. */
function isFilled(map: object | null | undefined): boolean {
  return map !== undefined && map !== null && Object.values(map).some((value) => value !== undefined && value !== null)
}

/** A deep copy. Not `structuredClone`, which throws for proxies of a reactive store. */
function copyOf(job: Definition): Definition {
  return JSON.parse(JSON.stringify(job)) as Definition
}

/** Replaces the first `${name}` with the literal value. */
function withValue(text: string, name: string, value: string): string {
  return text.replace(`\${${name}}`, () => value)
}
