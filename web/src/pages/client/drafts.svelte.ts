import { SvelteMap } from "svelte/reactivity"
import type { Client } from "../../client/client.ts"

/** Texts that were edited and are not in the job yet. They live while no editor is open too; `Autosave` keeps them longer. */
export class Drafts {
  readonly #texts = new SvelteMap<string, string>()

  constructor(private readonly client: Client) {}

  get isDirty(): boolean {
    return this.#texts.size > 0
  }

  /** The edited texts by name. */
  get edited(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#texts)
  }

  /** Names of all text files, drafts of new ones included, sorted. */
  get names(): string[] {
    return [...new Set([...Object.keys(this.client.params.inputs), ...this.#texts.keys()])].sort()
  }

  /** Whether a file has edits. */
  has(name: string): boolean {
    return this.#texts.has(name)
  }

  /** What the editor shows of a file. */
  text(name: string): string {
    return this.#texts.get(name) ?? this.#saved(name) ?? ""
  }

  /** Takes an edit; one that gives the saved text again is none. */
  edit(name: string, text: string): void {
    if (text === this.#saved(name)) this.#texts.delete(name)
    else this.#texts.set(name, text)
  }

  discard(name: string): void {
    this.#texts.delete(name)
  }

  discardAll(): void {
    this.#texts.clear()
  }

  /** Puts all edits into the job. */
  save(): void {
    if (!this.isDirty) return
    this.client.params.setInputs({ ...this.client.params.inputs, ...Object.fromEntries(this.#texts) })
    this.#texts.clear()
  }

  /** Takes a file out of the job, with its edits. */
  remove(name: string): void {
    this.#texts.delete(name)
    const { [name]: _, ...left } = this.client.params.inputs
    if (this.#saved(name) !== undefined) this.client.params.setInputs(left)
  }

  #saved(name: string): string | undefined {
    return Object.hasOwn(this.client.params.inputs, name) ? this.client.params.inputs[name] : undefined
  }
}
