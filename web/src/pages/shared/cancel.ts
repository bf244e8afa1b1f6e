import { ask } from "./fetch.ts"

/** The outcome of a cancel, for people; both are empty if the job was cancelled. */
export interface Cancelled {
  /** Why another token is required. */
  readonly denied: string
  readonly said: string
}

/** Cancels a job of the queue at `queueUrl` in every namespace that holds it. It never throws. */
export async function cancelJob(queueUrl: string, id: string, token: string | undefined): Promise<Cancelled> {
  const url = `${queueUrl}/j/${encodeURIComponent(id)}/cancel?namespace=*`
  const answer = await ask<{ message?: unknown } | undefined>(url, { method: "POST", token })
  if (!answer.failure) return { denied: "", said: typeof answer.data?.message === "string" ? answer.data.message : "" }
  const { kind, text } = answer.failure
  // It is not retried automatically, so the user is asked to try again.
  const said = kind === "away" ? "The server does not answer, so the job was not cancelled. Try again." : text
  return { denied: kind === "denied" ? `To cancel: ${text}` : "", said }
}
