/**
 * Names in a job's texts that nothing gives a value. Workers put the job's own variables into `command` and `entrypoint`, outside
 * single quotes, and into nothing else; what they leave reaches the program as it is written, unless a shell reads it.
 */
import type { JobForm } from "./form.ts"

const NAME = /'[^']*'|\\.|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)/g
const BRACED = /\$\{([A-Za-z_]\w*)\}/
/** A command that hands its text to a shell, which has variables of its own. */
const SHELL = /(?:^|[\s/])(?:ba|da|a|z|k|fi)?sh\s(?:.*\s)?-\w*c(?:\s|$)/s

export type Hints = Readonly<Partial<Record<string, string>>>

/** Hints by field, as errors have them. `given` are the names that the link's own parameters give a value. */
export function hintsOf(form: JobForm, given: readonly string[]): Hints {
  const known = new Set([...form.env.map(({ name }) => name), ...given])
  const found: Record<string, string> = {}
  const isShell = SHELL.test(`${form.entrypoint} ${form.command}`)
  for (const field of ["command", "entrypoint"] as const) {
    const name = isShell ? undefined : unknownIn(form[field], known)
    if (name !== undefined) {
      found[field] = `No variable is named ${name}: unless the image's own start is a shell, the program gets it as it is written.`
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
