/** Changes of the inputs that are part of a job. */
import type { DataRef, Definition } from "../wire.ts"

/** The job without these inputs; undefined if it has none of them. */
export function withoutInputs(job: Definition | undefined, names: readonly string[]): Definition | undefined {
  const left = Object.entries(job?.inputs ?? {}).filter(([name]) => !names.includes(name))
  if (!job?.inputs || left.length === Object.keys(job.inputs).length) return undefined
  const { inputs: _, ...rest } = job
  return left.length > 0 ? { ...rest, inputs: Object.fromEntries(left) } : rest
}

/** The job with these inputs added, as far as `sent`, the definition for the server, refers to them. */
export function withInputsOf(job: Definition, sent: Definition, names: readonly string[]): Definition {
  const refs = names.flatMap((name): [string, DataRef][] => {
    const ref = sent.inputs?.[name]
    return ref ? [[name, ref]] : []
  })
  return { ...job, inputs: { ...job.inputs, ...Object.fromEntries(refs) } }
}
