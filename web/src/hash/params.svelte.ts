/**
 * The parameters of the fragment as a reactive store.
 *
 * Readers of the store see a change at once. A change of a switch or a name also changes the address at once; typed text changes
 * it when no edit has come for `EDIT_MS`. Each time the address changes, the parent page gets the whole fragment.
 */
import type { MetaframeDefinition, Params } from "../client/client.ts"
import { type Problems, sentenceOf } from "../client/problems.svelte.ts"
import { stableText } from "../definition/canonical.ts"
import type { Control, Definition } from "../wire.ts"
import type { Address } from "./address.ts"
import { encodeB64Json } from "./b64json.ts"
import { encodeValue, type Fragment, FRAGMENT_CHARS_MAX, fragmentText, parseFragment, withValues } from "./fragment.ts"
import { type Memory, type ParamValues, readParams } from "./read.ts"

/** Pause after an edit before the address is written. */
export const EDIT_MS = 250

type Flag = Parameters<Params["setFlag"]>[0]

export class ParamStore implements Params {
  readonly #address: Address
  readonly #problems: Problems
  readonly #memory: Memory = new Map()
  readonly #listeners = new Set<() => void>()
  readonly #ends: (() => void)[]
  #fragment: Fragment
  #values: ParamValues = $state.raw({} as ParamValues)
  /** Values that are set but not yet written to the address, by name. At most one for each parameter with a setter. */
  readonly #pending = new Map<string, string | undefined>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(address: Address, problems: Problems) {
    this.#address = address
    this.#problems = problems
    this.#fragment = parseFragment(address.read())
    this.#read()
    this.#ends = [address.listen(() => this.#readAddress()), address.onLeave(() => this.flush())]
  }

  get job(): Definition | undefined { return this.#values.job }
  get inputs(): Readonly<Record<string, string>> { return this.#values.inputs }
  get queue(): string { return this.#values.queue }
  get queueOverride(): string { return this.#values.queueOverride }
  get ignoreQueueOverride(): boolean { return this.#values.ignoreQueueOverride }
  get control(): Control | undefined { return this.#values.control }
  get autostart(): boolean { return this.#values.autostart }
  get allowsetjob(): boolean { return this.#values.allowsetjob }
  get resolverefs(): boolean { return this.#values.resolverefs }
  get terminal(): boolean { return this.#values.terminal }
  get debug(): boolean { return this.#values.debug }
  get maxJobDuration(): string { return this.#values.maxJobDuration }
  get definition(): MetaframeDefinition | undefined { return this.#values.definition }
  get others(): Readonly<Record<string, string>> { return this.#values.others }
  /** Whether there is an edit that the address does not have yet. */
  get isEditing(): boolean { return this.#pending.size > 0 }
  /** The whole fragment, with edits that are not written yet. */
  get text(): string { return fragmentText(this.#fragment) }

  setJob(job: Definition | undefined): void { this.#setJson("job", job, EDIT_MS) }
  setInputs(inputs: Record<string, string>): void {
    this.#setJson("inputs", Object.keys(inputs).length === 0 ? undefined : inputs, EDIT_MS)
  }
  setControl(control: Control | undefined): void { this.#setJson("control", control, 0) }
  setDefinition(definition: MetaframeDefinition | undefined): void { this.#setJson("definition", definition, EDIT_MS) }
  setQueue(queue: string): void { this.#set("queue", queue === "" ? undefined : encodeValue(queue), 0) }
  setFlag(name: Flag, value: boolean): void { this.#set(name, value ? "true" : undefined, 0) }

  /** Replaces the whole fragment, as if the user had followed a link. */
  setText(hash: string): void {
    this.#pending.clear()
    clearTimeout(this.#timer)
    this.#write(parseFragment(hash))
  }

  /** Calls the listener after each change of a value from any source. Returns a function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Writes the pending changes to the address now. */
  flush(): void {
    clearTimeout(this.#timer)
    if (this.#pending.size === 0) return
    const changes = new Map(this.#pending)
    this.#pending.clear()
    this.#write(withValues(parseFragment(this.#address.read()), changes))
  }

  dispose(): void {
    this.flush()
    for (const end of this.#ends) end()
    this.#listeners.clear()
  }

  #setJson(name: string, value: unknown, delay: number): void {
    try {
      this.#set(name, value === undefined ? undefined : encodeValue(encodeB64Json(value)), delay)
    } catch (error) {
      this.#problems.say(`hash:${name}`, `The parameter ${name} was not set: ${sentenceOf(error)}.`)
    }
  }

  #set(name: string, raw: string | undefined, delay: number): void {
    if (this.#isSame(name, raw)) return
    const fragment = withValues(this.#fragment, new Map([[name, raw]]))
    if (fragmentText(fragment).length > FRAGMENT_CHARS_MAX) {
      this.#problems.say(`hash:${name}`, `The parameter ${name} is too large for the address of a page.`,
        "Drop large files onto the page instead.")
      return
    }
    this.#pending.set(name, raw)
    this.#fragment = fragment
    clearTimeout(this.#timer)
    if (delay > 0) this.#timer = setTimeout(() => this.flush(), delay)
    this.#read()
    if (delay === 0) this.flush()
  }

  /** Whether the fragment contains this value already, possibly in the form of another version. */
  #isSame(name: string, raw: string | undefined): boolean {
    const current = this.#fragment.raw.get(name)
    if (current === raw) return true
    if (current === undefined || raw === undefined || this.#problems.list.some(({ key }) => key === `hash:${name}`)) return false
    const { values } = readParams({ pre: "", raw: new Map([[name, raw]]) }, new Map())
    const key = name as keyof ParamValues
    return stableText(values[key]) === stableText(this.#values[key])
  }

  /** Reads the address after this page or another one has changed it. Changes that are not written yet are kept. */
  #readAddress(): void {
    const found = parseFragment(this.#address.read())
    this.#fragment = this.#pending.size === 0 ? found : withValues(found, this.#pending)
    this.#read()
  }

  #write(fragment: Fragment): void {
    const text = fragmentText(fragment)
    if (text === this.#address.read()) return
    try {
      this.#address.write(text)
      this.#problems.clear("hash")
    } catch (error) {
      // Browsers refuse too many writes in a row. The new values still apply in this page, and the next edit writes them.
      this.#problems.say("hash", `The address of this page could not be changed: ${sentenceOf(error)}.`)
      this.#fragment = fragment
      this.#read()
    }
  }

  #read(): void {
    const { values, problems } = readParams(this.#fragment, this.#memory)
    this.#problems.clearAll("hash:")
    for (const [name, problem] of problems) {
      this.#problems.say(`hash:${name.slice(0, 100)}`,
        `The parameter ${name.slice(0, 100)} of the link cannot be read: ${problem}.`)
    }
    const isNew = (Object.keys(values) as (keyof ParamValues)[]).some((name) => !isEqual(values[name], this.#values[name]))
    if (!isNew) return
    this.#values = values
    for (const listener of [...this.#listeners]) listener()
  }
}

/** Decoded values are the same object while they do not change. Each read makes new maps of variables, in which the order counts. */
function isEqual(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b))
}
