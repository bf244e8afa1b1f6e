/**
 * Finds names in a job's texts that have no value. In `command` and `entrypoint`, outside of single quotes, workers replace the
 * job's own variables and remove other names. Text in single quotes reaches the program unchanged.
 */
import type { JobForm } from "./form.ts"

const NAME = /'[^']*'|\\.|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)/g
const BRACED = /\$\{([A-Za-z_]\w*)\}/

export type Hints = Readonly<Partial<Record<string, string>>>

/** Hints by the name of the field, as for errors. `given` are the names that the link's own parameters define. */
export function hintsOf(form: JobForm, given: readonly string[]): Hints {
  const known = new Set([...form.env.map(({ name }) => name), ...given])
  const found: Record<string, string> = {}
  for (const field of ["command", "entrypoint"] as const) {
    const name = unknownIn(form[field], known)
    if (name !== undefined) {
      found[field] = `No variable is named ${name}: give it a value, or write it in single quotes for the container's shell.`
    }
  }
  for (const [at, { value }] of form.env.entries()) {
    const name = BRACED.exec(value)?.[1]
    if (name !== undefined) found[`env-${at}`] = `\${${name}} in a value is not replaced: the program gets it as it is written.`
  }
  return found
}

function unknownIn(text: string, known: ReadonlySet<string>): string | undefined {
  const names = [...text.matchAll(NAME)].map(([, braced, bare]) => braced ?? bare)
  return names.find((name) => name !== undefined && !known.has(name))?.slice(0, 40)
}
