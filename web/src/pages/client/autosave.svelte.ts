import type { Client, KeptEdits } from "../../client/client.ts"
import type { Drafts } from "./drafts.svelte.ts"
import type { Settings } from "./settings.svelte.ts"

/** Pause after an edit before it is stored. */
export const KEEP_MS = 400

/** Stores edits of files and settings, so that they survive a reload, until they are saved or discarded. Restores them. */
export class Autosave {
  /** Whether all edits are stored or saved, so that closing the page would lose none. */
  isKept = $state(true)
  /** Restored edits that the user has not saved or discarded yet: names of files, and `the settings`. */
  restored: readonly string[] = $state.raw([])
  #isReady = false
  #edits: KeptEdits | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly client: Client, private readonly drafts: Drafts, private readonly settings: Settings) {
    void this.#restore()
  }

  /** The edits to store now; undefined when all are saved. Reactive. */
  get edits(): KeptEdits | undefined {
    const { drafts, settings } = this
    if (!drafts.isDirty && !settings.isDirty) return undefined
    return { texts: drafts.edited, form: settings.isDirty ? $state.snapshot(settings.form) : undefined }
  }

  /** Called after each change of `edits`. */
  note(edits: KeptEdits | undefined): void {
    this.#edits = edits
    this.isKept = edits === undefined
    if (!edits) this.restored = []
    clearTimeout(this.#timer)
    if (this.#isReady) this.#timer = setTimeout(() => void this.#keep(), KEEP_MS)
  }

  /** Stores pending edits at once, because the page may be closing. */
  flush(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    void this.#keep()
  }

  /** Returns to the saved state. */
  discard(): void {
    this.drafts.discardAll()
    this.settings.discard()
  }

  async #restore(): Promise<void> {
    const kept = await this.client.keptEdits()
    const names = Object.keys(kept?.texts ?? {}).filter((name) => !this.drafts.has(name))
    for (const name of names) this.drafts.edit(name, kept?.texts[name] ?? "")
    const hasForm = kept?.form !== undefined && this.settings.restore(kept.form)
    this.restored = [...names.filter((name) => this.drafts.has(name)), ...(hasForm ? ["the settings"] : [])]
    this.#isReady = true
    this.note(this.edits)
  }

  async #keep(): Promise<void> {
    this.#timer = undefined
    const edits = this.#edits
    const isKept = await this.client.keepEdits(edits)
    if (edits === this.#edits) this.isKept = isKept
  }
}
