import { SvelteMap } from "svelte/reactivity"
import type { Client } from "../../client/client.ts"

/** Edited texts that are not in the job yet. They stay while no editor is open; `Autosave` keeps them over a reload. */
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

  /** Names of all text files, sorted. New files that are not in the job yet are included. */
  get names(): string[] {
    return [...new Set([...Object.keys(this.client.params.inputs), ...this.#texts.keys()])].sort()
  }

  /** Whether a file has edits. */
  has(name: string): boolean {
    return this.#texts.has(name)
  }

  /** The text of a file in the editor. */
  text(name: string): string {
    return this.#texts.get(name) ?? this.#saved(name) ?? ""
  }

  /** Takes an edit; an edit that restores the saved text is removed. */
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

  /** Removes a file from the job, with its edits. */
  remove(name: string): void {
    this.#texts.delete(name)
    const { [name]: _, ...left } = this.client.params.inputs
    if (this.#saved(name) !== undefined) this.client.params.setInputs(left)
  }

  #saved(name: string): string | undefined {
    return Object.hasOwn(this.client.params.inputs, name) ? this.client.params.inputs[name] : undefined
  }
}
