/**
 * Names in a job's texts that nothing gives a value. Workers put the job's own variables into `command` and `entrypoint`, outside
 * single quotes, and nothing in the place of other names; what stands in single quotes reaches the program as it is written.
 */
import type { JobForm } from "./form.ts"

const NAME = /'[^']*'|\\.|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)/g
const BRACED = /\$\{([A-Za-z_]\w*)\}/

export type Hints = Readonly<Partial<Record<string, string>>>

/** Hints by field, as errors have them. `given` are the names that the link's own parameters give a value. */
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
    if (name !== undefined) found[`env-${at}`] = `Nothing replaces \${${name}} in a value: the program gets it as it is written.`
  }
  return found
}

function unknownIn(text: string, known: ReadonlySet<string>): string | undefined {
  const names = [...text.matchAll(NAME)].map(([, braced, bare]) => braced ?? bare)
  return names.find((name) => name !== undefined && !known.has(name))?.slice(0, 40)
}
