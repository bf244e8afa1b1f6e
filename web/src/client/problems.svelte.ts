import type { Problem } from "./client.ts"

/** Most problems at a time; the oldest are removed. */
const PROBLEMS_MAX = 30
/** Most characters of a problem's text, which may quote text of strangers. */
const TEXT_CHARS_MAX = 600

/** The present problems, by key: a newer problem replaces one with the same key. */
export class Problems {
  #list: readonly Problem[] = $state.raw([])

  get list(): readonly Problem[] {
    return this.#list
  }

  /** Adds a problem: one sentence, with the fix if there is one. */
  say(key: string, text: string, fix?: string): void {
    const problem = { key, text: text.slice(0, TEXT_CHARS_MAX), ...(fix === undefined ? {} : { fix }) }
    const known = this.#list.find((other) => other.key === key)
    if (known?.text === problem.text && known.fix === fix) return
    this.#list = [...this.#list.filter((other) => other.key !== key), problem].slice(-PROBLEMS_MAX)
  }

  /** Removes the problem with this key, if there is one. */
  clear(key: string): void {
    if (this.#list.some((problem) => problem.key === key)) this.#list = this.#list.filter((problem) => problem.key !== key)
  }

  /** Removes all problems whose key has this prefix. */
  clearAll(prefix: string): void {
    if (this.#list.some(({ key }) => key.startsWith(prefix))) this.#list = this.#list.filter(({ key }) => !key.startsWith(prefix))
  }
}

/** The message of an exception. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error && error.message ? error.message : String(error)
}
