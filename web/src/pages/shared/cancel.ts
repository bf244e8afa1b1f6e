import { ask } from "./fetch.ts"

/** What became of a cancel, for people; both are empty when the job was cancelled. */
export interface Cancelled {
  /** Why another token is asked for. */
  readonly denied: string
  readonly said: string
}

/** Cancels a job of the queue at `queueUrl` in every namespace that holds it. It never throws. */
export async function cancelJob(queueUrl: string, id: string, token: string | undefined): Promise<Cancelled> {
  const url = `${queueUrl}/j/${encodeURIComponent(id)}/cancel?namespace=*`
  const answer = await ask<{ message?: unknown } | undefined>(url, { method: "POST", token })
  if (!answer.failure) return { denied: "", said: typeof answer.data?.message === "string" ? answer.data.message : "" }
  const { kind, text } = answer.failure
  // Nothing tries it again by itself.
  const said = kind === "away" ? "The server does not answer, so the job was not cancelled." : text
  return { denied: kind === "denied" ? `To cancel: ${text}` : "", said }
}
