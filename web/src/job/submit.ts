/** What a submission consists of. */
import type { ResolvedDefinition } from "../definition/resolve.ts"
import type { Control, EnqueueJob } from "../wire.ts"

/** The parts of a submission in addition to the definition. */
export interface Terms {
  readonly control: Control | undefined
  readonly isDebug: boolean
  readonly maxJobDuration: string
}

/** The namespace of the parameter's control. */
export function namespaceOf({ control }: Terms): string {
  return control?.namespace || "_"
}

/**
 * The control that is sent: the parameter with a namespace, and with the longest run unless the control or the job sets one.
 */
export function controlOf(terms: Terms, jobMaxDuration: unknown): Control {
  const { control, maxJobDuration } = terms
  const namespace = namespaceOf(terms)
  const hasOther = control?.maxDuration !== undefined
    || (jobMaxDuration !== undefined && jobMaxDuration !== null && jobMaxDuration !== "")
  // The longest run is not put into the definition, because that would change the ids of existing links.
  return maxJobDuration !== "" && !hasOther ? { ...control, namespace, maxDuration: maxJobDuration } : { ...control, namespace }
}

/** The submission of a job. With `isAgain` the job runs even if it has ended before. */
export function submissionOf({ id, definition }: ResolvedDefinition, terms: Terms, isAgain: boolean): EnqueueJob {
  const control = { ...controlOf(terms, definition.maxDuration), ...(isAgain && { again: true }) }
  return { id, definition, control, ...(terms.isDebug && { debug: true }) }
}
