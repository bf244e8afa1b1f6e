import type { PastRun, Phase } from "../client/client.ts"
import type { Definition } from "../wire.ts"
import type { Database } from "./database.ts"

/** Most stored runs; the oldest are deleted. */
const RUNS_MAX = 200
/** Most UTF-16 units of all runs with their fragments and definitions; the oldest runs beyond this are deleted too. */
const CHARS_MAX = 8 * 1024 * 1024

export interface NewRun {
  readonly id: string
  readonly queue: string
  readonly definition: Definition
  readonly fragment: string
}

/** The runs of this browser, newest first, kept over reloads. */
export class History {
  readonly #database: Database
  #runs: readonly PastRun[] = $state.raw([])
  readonly ready: Promise<void>

  constructor(database: Database) {
    this.#database = database
    this.ready = database.runs().then((kept) => {
      const known = new Set(this.#runs.map(keyOf))
      this.#runs = bounded([...this.#runs, ...kept.filter((run) => !known.has(keyOf(run)))])
    })
  }

  get runs(): readonly PastRun[] {
    return this.#runs
  }

  /** Records a submission. */
  add(run: NewRun): void {
    this.#keep([{ ...run, phase: "submitting", submittedAt: Date.now(), duration: undefined }, ...this.#runs])
  }

  /** Records the state of the latest run of a job. */
  update(id: string, queue: string, phase: Phase, duration: number | undefined): void {
    const at = this.#runs.findIndex((run) => run.id === id && run.queue === queue)
    const run = this.#runs[at]
    if (!run || (run.phase === phase && run.duration === duration)) return
    this.#keep(this.#runs.with(at, { ...run, phase, duration }))
  }

  forget(): void {
    this.#keep([])
  }

  #keep(runs: readonly PastRun[]): void {
    this.#runs = bounded(runs)
    void this.ready.then(() => this.#database.keepRuns(this.#runs))
  }
}

function keyOf(run: PastRun): string {
  return `${run.submittedAt} ${run.id}`
}

function bounded(runs: readonly PastRun[]): readonly PastRun[] {
  let nChars = 0
  return runs.slice(0, RUNS_MAX).filter((run) => {
    nChars += run.fragment.length + JSON.stringify(run.definition).length
    return nChars <= CHARS_MAX
  })
}
