import type { Client } from "../../client/client.ts"
import type { Definition } from "../../wire.ts"
import { asForm, definitionOf, errorsOf, formOf, meansSame, merged, type Errors, type JobForm } from "./form.ts"

/** The settings form with its unsaved state. Unedited fields follow the job. */
export class Settings {
  form = $state<JobForm>(formOf(undefined))
  #saved = $state.raw<JobForm>(formOf(undefined))
  #job: Definition | undefined
  #hasFollowed = false

  constructor(private readonly client: Client) {
    this.follow(client.params.job)
  }

  get isDirty(): boolean {
    return !meansSame(this.form, this.#saved)
  }

  /** Problems of the fields. A form that matches the job has none, because the user may not have started to fill it in. */
  get errors(): Errors {
    return this.isDirty ? errorsOf($state.snapshot(this.form)) : {}
  }

  get hasErrors(): boolean {
    return Object.keys(this.errors).length > 0
  }

  /** Whether one field differs from what is saved. */
  isChanged(field: keyof JobForm): boolean {
    return JSON.stringify(this.form[field]) !== JSON.stringify(this.#saved[field])
  }

  /** Takes over changes of the job from elsewhere. */
  follow(job: Definition | undefined): void {
    if (this.#hasFollowed && job === this.#job) return
    this.#hasFollowed = true
    this.#job = job
    const theirs = formOf(job)
    this.form = merged(this.#saved, $state.snapshot(this.form), theirs)
    this.#saved = theirs
  }

  /** Puts the form into the job. Returns whether it succeeded. */
  save(): boolean {
    if (!this.isDirty) return true
    if (this.hasErrors) return false
    const made = definitionOf($state.snapshot(this.form), this.client.params.job)
    this.#saved = $state.snapshot(this.form)
    this.client.params.setJob(made)
    return true
  }

  /** Restores an edited form of an earlier visit, unless the user has edited this one already. Returns whether it did. */
  restore(kept: unknown): boolean {
    const form = this.isDirty ? undefined : asForm(kept)
    if (form) this.form = form
    return form !== undefined && this.isDirty
  }

  discard(): void {
    this.form = structuredClone(this.#saved)
  }
}
