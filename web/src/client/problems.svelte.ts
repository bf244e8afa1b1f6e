import type { Problem } from "./client.ts"

/** Problems shown at a time; the oldest go. */
const PROBLEMS_MAX = 30
/** Characters of a problem's text: it may quote what others wrote. */
const TEXT_CHARS_MAX = 600

/** What goes wrong, by key: a newer problem replaces an equal one. */
export class Problems {
  #list: readonly Problem[] = $state.raw([])

  get list(): readonly Problem[] {
    return this.#list
  }

  /** Says it, in one sentence, with the mend where there is one. */
  say(key: string, text: string, mend?: string): void {
    const problem = { key, text: text.slice(0, TEXT_CHARS_MAX), ...(mend === undefined ? {} : { mend }) }
    const known = this.#list.find((other) => other.key === key)
    if (known?.text === problem.text && known.mend === mend) return
    this.#list = [...this.#list.filter((other) => other.key !== key), problem].slice(-PROBLEMS_MAX)
  }

  /** Takes back the problem of this key, if there is one. */
  clear(key: string): void {
    if (this.#list.some((problem) => problem.key === key)) this.#list = this.#list.filter((problem) => problem.key !== key)
  }

  /** Takes back all problems whose key begins so. */
  clearAll(prefix: string): void {
    if (this.#list.some(({ key }) => key.startsWith(prefix))) this.#list = this.#list.filter(({ key }) => !key.startsWith(prefix))
  }
}

/** What an exception says, in a line. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error && error.message ? error.message : String(error)
}
