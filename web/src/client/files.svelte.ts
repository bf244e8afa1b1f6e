/**
 * Files that the user dropped or chose. They are not read before they are needed. They live as long as the page, or until the
 * server has them and they are part of the job.
 */
import type { Input } from "../definition/inputs.ts"
import { ENTRIES_MAX } from "../definition/shape.ts"
import type { InputFile } from "./client.ts"
import type { Problems } from "./problems.svelte.ts"

/** Text up to this size goes into the fragment, where it can be edited and shared. */
const TEXT_BYTES_MAX = 32 * 1024
/** Limit for all texts together of a fragment with files: encoded they are up to four times as long, and addresses have a limit. */
const TEXTS_BYTES_MAX = 8 * TEXT_BYTES_MAX
/** Servers store no larger files. */
const FILE_BYTES_MAX = 5 * 1024 ** 3

export class UserFiles {
  readonly #problems: Problems
  #files: ReadonlyMap<string, File> = $state.raw(new Map())

  constructor(problems: Problems) {
    this.#problems = problems
  }

  /** Sizes of the files that became part of the job here. */
  readonly #sizes = new Map<string, number>()

  get list(): InputFile[] {
    return [...this.#files].map(([name, file]) => ({ name, bytes: file.size, from: "user" }))
  }

  /** Files that are part of the job, by their names there. */
  listOf(names: readonly string[]): InputFile[] {
    return names.filter((name) => !this.#files.has(name)).map((name) => ({ name, bytes: this.#sizes.get(name), from: "job" }))
  }

  /** Forgets files that are part of the job now. */
  markSaved(names: Iterable<string>): void {
    const files = new Map(this.#files)
    for (const name of names) {
      const file = files.get(name)
      if (file) this.#sizes.set(name, file.size)
      files.delete(name)
    }
    this.#files = files
  }

  inputs(): [string, Input][] {
    return [...this.#files]
  }

  names(): ReadonlySet<string> {
    return new Set(this.#files.keys())
  }

  /**
   * Takes files. Returns the short texts among them, by name, as long as they fit into the fragment beside the present texts. A new
   * file replaces one with the same name.
   */
  async add(files: readonly File[], present: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    let room = TEXTS_BYTES_MAX - Object.values(present).reduce((sum, text) => sum + text.length, 0)
    const texts: [string, string][] = []
    const kept = new Map<string, File>()
    if (files.length > ENTRIES_MAX) {
      this.#problems.say("files", `Only the first ${ENTRIES_MAX} of these files were added: a job takes no more.`,
        "Drop one archive of them instead.")
    }
    for (const file of files.slice(0, ENTRIES_MAX)) {
      const name = (file.webkitRelativePath || file.name).replace(/^\/+/, "")
      const text = file.size <= room ? await shortText(file) : undefined
      if (text !== undefined) {
        texts.push([name, text])
        room -= file.size
      } else if (this.#mayKeep(name, file, this.#files.size + kept.size)) kept.set(name, file)
    }
    const shortNames = new Set(texts.map(([name]) => name))
    this.#files = new Map([...this.#files].filter(([name]) => !shortNames.has(name)).concat([...kept]))
    return Object.fromEntries(texts)
  }

  /** Returns whether there was such a file. */
  remove(name: string): boolean {
    const files = new Map(this.#files)
    const isThere = files.delete(name)
    this.#files = files
    this.#problems.clear(`upload:${name}`)
    return isThere
  }

  #mayKeep(name: string, file: File, nFiles: number): boolean {
    if (file.size <= FILE_BYTES_MAX && nFiles < ENTRIES_MAX) return true
    const why = nFiles < ENTRIES_MAX ? "it is larger than 5 GiB" : `a job takes at most ${ENTRIES_MAX} files`
    this.#problems.say(`file:${name.slice(0, 100)}`, `The file ${name.slice(0, 100)} is left out: ${why}.`)
    return false
  }
}

/** The text of a small file, if it contains only text. */
async function shortText(file: File): Promise<string | undefined> {
  if (file.size > TEXT_BYTES_MAX) return undefined
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer())
    return text.includes("\0") ? undefined : text
  } catch {
    return undefined
  }
}
