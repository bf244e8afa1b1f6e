import type { Client } from "../../client/client.ts"
import type { Definition } from "../../wire.ts"
import { store, stored } from "../../ui/stored.ts"
import { Autosave } from "./autosave.svelte.ts"
import { Drafts } from "./drafts.svelte.ts"
import { Settings } from "./settings.svelte.ts"
import { actionOf, type Action } from "./status.ts"

const MAIN_FILE = "main-file"

export type PanelId = "log" | "files" | "settings" | "outputs" | "queue" | "history"

/** The page's own state: the open panel, edits, and the previous definition. */
export class View {
  readonly drafts: Drafts
  readonly settings: Settings
  readonly autosave: Autosave
  /** The open panel. `log` means that no side panel is open. */
  panel = $state<PanelId>("log")
  /** Name of the file in the editor. If it is empty, the editor shows the main file. */
  file = $state("")
  #main = $state(stored(MAIN_FILE) ?? "")
  /** The definition before the present one, with its id; its files are texts, not addresses. */
  before = $state.raw<{ id: string; definition: Definition }>()
  #now: { id: string; definition: Definition } | undefined

  constructor(readonly client: Client) {
    this.drafts = new Drafts(client)
    this.settings = new Settings(client)
    this.autosave = new Autosave(client, this.drafts, this.settings)
  }

  get hasEdits(): boolean {
    return this.drafts.isDirty || this.settings.isDirty
  }

  /** The file that the page shows first: the chosen one if it exists, or the first by name. */
  get mainFile(): string | undefined {
    const { names } = this.drafts
    return names.includes(this.#main) ? this.#main : names[0]
  }

  /** Makes a file the main one. This also applies when this browser later opens a job with a file of that name. */
  setMainFile(name: string): void {
    this.#main = name
    store(MAIN_FILE, name)
  }

  get action(): Action {
    return actionOf(this.client.job.phase, this.hasEdits)
  }

  /** Opens a panel, or closes it when it is the open one. */
  toggle(panel: PanelId): void {
    this.panel = this.panel === panel ? "log" : panel
  }

  /** Takes the present definition, and keeps the one before it. */
  note(id: string, definition: Definition): void {
    if (this.#now && this.#now.id !== id) this.before = this.#now
    this.#now = { id, definition }
  }

  /** Saves files and settings. Returns whether everything could be saved. */
  save(): boolean {
    this.drafts.save()
    const isSaved = this.settings.save()
    if (!isSaved) this.panel = "settings"
    return isSaved
  }

  /** Does the action of the primary button. */
  act(): void {
    const { action, client } = this
    if (action === "set-up") this.panel = "settings"
    else if (action === "choose-queue") this.panel = "queue"
    else if (action === "stop") client.stop()
    else if (action === "run-again") client.runAgain()
    else if (this.save()) client.run()
  }
}
