/**
 * Builds the client that the page shows: it connects the fragment, the parent page, the queue and the current job.
 *
 * Every change of the definition leads to a rebuild after a short delay, so that a burst of changes is one rebuild. A newer
 * rebuild makes an older one stale. After each wait, a rebuild checks whether it is stale, and then stops.
 */
import { build, isRunnable } from "../definition/build.ts"
import { type ResolvedDefinition, DefinitionResolver } from "../definition/resolve.ts"
import { type Address, windowAddress } from "../hash/address.ts"
import { EDIT_MS, ParamStore } from "../hash/params.svelte.ts"
import { Current } from "../job/current.svelte.ts"
import { BrowserDatabase, type Database } from "../job/database.ts"
import { Edits } from "../job/edits.ts"
import { History } from "../job/history.svelte.ts"
import { Arrivals } from "../metaframe/arrivals.ts"
import { Delivery } from "../metaframe/delivery.ts"
import { Frame } from "../metaframe/frame.svelte.ts"
import { openParent, type Parent, type ParentListener } from "../metaframe/parent.ts"
import { Queue, type QueueOptions } from "../queue/queue.svelte.ts"
import type { Job } from "../wire.ts"
import type { Client, InputFile, KeptEdits, PastRun, Phase, Problem } from "./client.ts"
import { Problems, sentenceOf } from "./problems.svelte.ts"
import { UserFiles } from "./files.svelte.ts"
import { type Guard, openGuard, REFUSALS, type Refused } from "./guard.svelte.ts"
import { withInputsOf, withoutInputs } from "./job-inputs.ts"
import { linkOf } from "./link.ts"

/** Inputs and parameters that come within this time cause one rebuild. */
export const REBUILD_MS = 50

export interface ClientOptions {
  readonly root: URL
  readonly address?: Address
  readonly database?: Database
  readonly queue?: Pick<QueueOptions, "connect" | "fetcher" | "tokens">
  readonly openParent?: (listener: ParentListener) => Parent
  /** What the page may do on a local server; without it, everything. */
  readonly guard?: Guard
}

/** Opens the client of this page. The caller disposes of it. */
export function openClient(options: ClientOptions): Client {
  return new AsmanClient(options)
}

class AsmanClient implements Client {
  readonly #problems = new Problems()
  readonly params: ParamStore
  readonly queue: Queue
  readonly job: Current
  readonly metaframe = new Frame()
  readonly guard: Guard
  readonly #history: History
  readonly #edits: Edits
  readonly #arrivals: Arrivals
  readonly #delivery: Delivery
  readonly #parent: Parent
  readonly #resolver = new DefinitionResolver()
  readonly #userFiles = new UserFiles(this.#problems)
  #arrived: readonly InputFile[] = $state.raw([])
  #generation = 0
  #isSettingJob = false
  #timer: ReturnType<typeof setTimeout> | undefined
  #building: Promise<void> = Promise.resolve()

  constructor(options: ClientOptions) {
    const database = options.database ?? new BrowserDatabase()
    const problems = this.#problems
    this.params = new ParamStore(options.address ?? windowAddress(), problems)
    this.guard = options.guard ?? openGuard(options.root.href.replace(/\/+$/, ""))
    const setQueue = (queue: string): void => this.params.setQueue(queue)
    this.queue = new Queue({ ...options.queue, guard: this.guard, root: options.root, problems, setQueue })
    this.guard.attach(() => this.queue.base, (refused) => this.#sayRefused(refused))
    this.#history = new History(database)
    this.#edits = new Edits(database, () => this.#place())
    this.#arrivals = new Arrivals(problems)
    this.job = this.#makeJob(database)
    this.#parent = (options.openParent ?? openParent)({
      onConnected: () => this.#connected(),
      onInputs: (values) => this.#take(values),
    })
    this.metaframe.isEmbedded = this.#parent.isEmbedded
    this.#delivery = new Delivery({
      isConnected: () => this.#parent.isConnected,
      send: (outputs) => this.#parent.send(outputs),
      onDelivered: (jobId, names) => { this.metaframe.delivered = { jobId, names, time: Date.now() } },
      problems,
    })
    this.params.onChange(() => this.#paramsChanged())
    this.#rebuildSoon(0)
  }

  get problems(): readonly Problem[] { return this.#problems.list }
  get files(): readonly InputFile[] {
    const own = this.#userFiles.listOf(Object.keys(this.params.job?.inputs ?? {}))
    const arrived = new Set(this.#arrived.map(({ name }) => name))
    return [...this.#userFiles.list, ...own.filter(({ name }) => !arrived.has(name)), ...this.#arrived]
  }
  get history(): readonly PastRun[] { return this.#history.runs }

  run(): void { if (this.#acts()) void this.#run(false) }
  runAgain(): void { if (this.#acts()) void this.#run(true) }
  stop(): void { if (this.#acts()) this.job.stop() }
  clearResult(): void {
    if (!this.#acts()) return
    this.#delivery.withdraw()
    this.job.clear()
  }

  /** A link to this page with the present job, for a separate window. */
  link(): Promise<string | undefined> {
    const inputs = [...this.#arrivals.inputs(this.params.allowsetjob), ...this.#userFiles.inputs()]
    return linkOf(this.params.text, this.params.job, inputs)
  }

  /** Whether the user's last action counts, see `guard.svelte.ts`. */
  #acts(kind: "press" | "files" = "press"): boolean {
    // The check concerns the queue that the parameters name now, even if that was set just before.
    this.params.flush()
    if (this.queue.use(this.params)) this.#queueChanged()
    return this.guard.act(kind)
  }

  #sayRefused(refused: Refused | undefined): void {
    if (refused) this.#problems.say("guard", ...REFUSALS[refused])
    else this.#problems.clear("guard")
  }

  addFiles(files: readonly File[]): void {
    if (!this.#acts("files")) return
    void this.#userFiles.add(files, this.params.inputs).then((texts) => {
      const names = this.#userFiles.names()
      const others = Object.entries(this.params.inputs).filter(([name]) => !names.has(name))
      this.params.setInputs({ ...Object.fromEntries(others), ...texts })
      this.#dropInputs(Object.keys(texts))
      this.#rebuildSoon(REBUILD_MS)
    })
  }

  removeFile(name: string): void {
    if (this.#userFiles.remove(name)) this.#rebuildSoon(REBUILD_MS)
    this.#dropInputs([name])
  }

  /** Removes inputs from the job itself. */
  #dropInputs(names: readonly string[]): void {
    const left = withoutInputs(this.params.job, names)
    if (left) this.params.setJob(left)
  }

  /**
   * When the server has the user's files, makes them part of the job, which does not change the id. Then a reload, a link and the
   * history bring them back. If the parent sets the job, this is not done, because the parent's next job would remove them.
   */
  async #resolveFiles({ id, definition }: ResolvedDefinition): Promise<void> {
    const sent = this.#userFiles.inputs()
    if (sent.length === 0 || !(await this.job.uploadEarly(this.#userFiles.names()))) return
    const { job, allowsetjob } = this.params
    // Files that were replaced or removed in the meantime belong to the next definition.
    const now = new Map(this.#userFiles.inputs())
    if (!job || allowsetjob || this.job.id !== id || !sent.every(([name, file]) => now.get(name) === file)) return
    const names = sent.map(([name]) => name)
    this.params.setJob(withInputsOf(job, definition, names))
    this.#userFiles.markSaved(names)
  }

  say(key: string, text: string, fix?: string): void { this.#problems.say(key, text, fix) }
  dismiss(key: string): void { this.#problems.clear(key) }
  reopen(run: PastRun): void { this.params.setText(run.fragment) }
  forgetHistory(): void { this.#history.forget() }
  keptEdits(): Promise<KeptEdits | undefined> { return this.#edits.kept() }
  keepEdits(edits: KeptEdits | undefined): Promise<boolean> { return this.#edits.keep(edits) }

  dispose(): void {
    this.#generation++
    clearTimeout(this.#timer)
    this.#delivery.withdraw()
    this.#parent.dispose()
    this.job.dispose()
    this.queue.dispose()
    this.params.dispose()
  }

  /** What edits belong to. The window's name is part of it, because a metapage gives each of its frames a name. */
  #place(): unknown {
    const { job, inputs, queue, queueOverride } = this.params
    return [this.metaframe.isEmbedded ? globalThis.window?.name : "", queue, queueOverride, job ?? null, inputs]
  }

  #makeJob(database: Database): Current {
    const { params } = this
    return new Current({
      queue: this.queue,
      problems: this.#problems,
      database,
      terms: () => ({ control: params.control, isDebug: params.debug, maxJobDuration: params.maxJobDuration }),
      isAutostart: () => params.autostart && !this.guard.isOn,
      onResult: (id, record) => this.#finished(id, record),
      onPhase: (phase) => this.#phaseChanged(phase),
      onSubmit: ({ id, definition }) => this.#history.add({ id, definition, queue: this.queue.name, fragment: params.text }),
    })
  }

  #connected(): void {
    this.metaframe.isConnected = true
    void this.#delivery.flush()
  }

  #take(values: Readonly<Record<string, unknown>>): void {
    this.#arrivals.take(values)
    this.#arrived = this.#arrivals.files(this.params.allowsetjob)
    this.#rebuildSoon(REBUILD_MS)
  }

  #paramsChanged(): void {
    // If this page sets the job itself, the rebuild in progress includes the change.
    if (!this.#isSettingJob) this.#rebuildSoon(this.params.isEditing ? EDIT_MS : REBUILD_MS)
  }

  #rebuildSoon(ms: number): void {
    this.#generation++
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#rebuildNow(), ms)
  }

  #rebuildNow(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const generation = ++this.#generation
    this.#building = this.#rebuild(() => generation !== this.#generation)
  }

  async #rebuild(isStale: () => boolean): Promise<void> {
    const { params, job, queue } = this
    this.#setArrivedJob()
    this.#arrived = this.#arrivals.files(params.allowsetjob)
    if (queue.use(params)) this.#queueChanged()
    if (!isRunnable(params.job)) return job.setRunnable(false)
    job.setRunnable(true)
    try {
      const inputs = [...this.#arrivals.inputs(params.allowsetjob), ...this.#userFiles.inputs()]
      const draft = build({ job: params.job, environment: params.others, texts: params.inputs, inputs })
      const resolved = await this.#resolver.resolve(draft, queue.base, isStale)
      if (isStale() || !resolved) return
      this.#problems.clear("definition")
      // Existing users look for exactly this text in the console.
      if (params.debug && resolved.id !== job.id) console.log("container.mtfm.io DEBUG: newJobDefinition", resolved.definition)
      if (resolved.id !== job.id) this.#delivery.withdraw()
      job.setResolved(resolved)
      job.autostart()
      void this.#resolveFiles(resolved)
    } catch (error) {
      if (!isStale()) this.#problems.say("definition", sentenceOf(error))
    }
  }

  /** Makes a job from the parent the job of the fragment. The parent gets the whole fragment, so it keeps the job too. */
  #setArrivedJob(): void {
    const job = this.params.allowsetjob ? this.#arrivals.takeJob() : undefined
    if (!job) return
    this.#isSettingJob = true
    this.params.setJob(job)
    this.params.flush()
    this.#isSettingJob = false
  }

  #queueChanged(): void {
    this.#delivery.withdraw()
    this.job.restart()
  }

  async #run(isAgain: boolean): Promise<void> {
    if (!isRunnable(this.params.job) || !this.queue.address) return
    this.job.prepare()
    if (this.#timer !== undefined) this.#rebuildNow()
    // If a newer rebuild has started in the meantime, waits for it too.
    for (let building; building !== this.#building;) await (building = this.#building)
    if (this.#problems.list.some(({ key }) => key === "definition")) return this.job.giveUp()
    this.job.run(isAgain)
  }

  #finished(jobId: string, record: Job): void {
    const { address } = this.queue
    const result = record.finished?.result
    if (!address || !result) return
    const { resolverefs: resolves, allowsetjob: tellsStatus } = this.params
    const url = `${address.url}/j/${jobId}`
    this.#delivery.offer({ jobId, result, base: address.base, token: this.queue.token, url, resolves, tellsStatus })
  }

  #phaseChanged(phase: Phase): void {
    const id = this.job?.id
    if (id === undefined) return
    if (phase === "queued" || phase === "running" || phase === "building") this.#delivery.withdraw()
    // A run that is requested but not sent yet is not in the history: an entry with the same id would be that of an earlier run.
    const isTold = !["empty", "no-queue", "ready", "uploading", "submitting"].includes(phase)
    if (isTold) this.#history.update(id, this.queue.name, phase, this.job.result?.duration)
  }
}
