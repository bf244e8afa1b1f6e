/** Timers by name: setting one again replaces the earlier one. */
export class Timers {
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>()

  after(name: string, ms: number, then: () => void): void {
    this.end(name)
    this.#timers.set(name, setTimeout(() => { this.#timers.delete(name); then() }, ms))
  }

  /** Whether the timer is set and has not fired yet. */
  has(name: string): boolean {
    return this.#timers.has(name)
  }

  end(name: string): void {
    clearTimeout(this.#timers.get(name))
    this.#timers.delete(name)
  }

  endAll(): void {
    for (const name of [...this.#timers.keys()]) this.end(name)
  }
}
