import type { Client, KeptEdits } from "../../client/client.ts"
import type { Drafts } from "./drafts.svelte.ts"
import type { Settings } from "./settings.svelte.ts"

/** Quiet after an edit, before it is kept. */
export const KEEP_MS = 400

/** Keeps edits of files and settings over a reload until they are saved or discarded, and brings them back. */
export class Autosave {
  /** Whether closing the page loses no edit. */
  isKept = $state(true)
  /** What came back from an earlier visit and was not noted by the user yet: names of files, and `the settings`. */
  restored: readonly string[] = $state.raw([])
  #isReady = false
  #edits: KeptEdits | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly client: Client, private readonly drafts: Drafts, private readonly settings: Settings) {
    void this.#restore()
  }

  /** What is to be kept now; undefined when all is saved. Reactive. */
  get edits(): KeptEdits | undefined {
    const { drafts, settings } = this
    if (!drafts.isDirty && !settings.isDirty) return undefined
    return { texts: drafts.edited, form: settings.isDirty ? $state.snapshot(settings.form) : undefined }
  }

  /** Hears of each change of `edits`. */
  note(edits: KeptEdits | undefined): void {
    this.#edits = edits
    this.isKept = edits === undefined
    if (!edits) this.restored = []
    clearTimeout(this.#timer)
    if (this.#isReady) this.#timer = setTimeout(() => void this.#keep(), KEEP_MS)
  }

  /** Keeps what waits at once: the page may be about to close. */
  flush(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    void this.#keep()
  }

  /** Goes back to what is saved. */
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
