import type { Client } from "../../client/client.ts"
import type { Definition } from "../../wire.ts"
import { Drafts } from "./drafts.svelte.ts"
import { Settings } from "./settings.svelte.ts"
import { actionOf, type Action } from "./status.ts"

export type PanelId = "log" | "files" | "settings" | "outputs" | "queue" | "history"

/** What of the page's state is not the job's: the open panel, edits, and the definition of before. */
export class View {
  readonly drafts: Drafts
  readonly settings: Settings
  /** The open panel; `log` where there is room for one thing alone. */
  panel = $state<PanelId>("log")
  /** Name of the file in the editor. */
  file = $state("")
  /** The definition before the present one, with its id. */
  before = $state.raw<{ id: string; definition: Definition }>()
  #now: { id: string; definition: Definition } | undefined

  constructor(readonly client: Client) {
    this.drafts = new Drafts(client)
    this.settings = new Settings(client)
  }

  get hasEdits(): boolean {
    return this.drafts.isDirty || this.settings.isDirty
  }

  get action(): Action {
    return actionOf(this.client.job.phase, this.hasEdits)
  }

  /** Opens a panel, or closes it when it is the open one. */
  toggle(panel: PanelId): void {
    this.panel = this.panel === panel ? "log" : panel
  }

  /** Remembers the definition that the page leaves. */
  note(id: string, definition: Definition): void {
    if (this.#now && this.#now.id !== id) this.before = this.#now
    this.#now = { id, definition }
  }

  /** Saves files and settings. Gives whether all of it could be saved. */
  save(): boolean {
    this.drafts.save()
    const isSaved = this.settings.save()
    if (!isSaved) this.panel = "settings"
    return isSaved
  }

  /** Does what the primary button says. */
  act(): void {
    const { action, client } = this
    if (action === "set-up") this.panel = "settings"
    else if (action === "choose-queue") this.panel = "queue"
    else if (action === "stop") client.stop()
    else if (action === "run-again") client.runAgain()
    else if (this.save()) client.run()
  }
}
