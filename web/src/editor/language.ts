import type { Extension } from "@codemirror/state"

/** Modes by a file's ending or its whole name. Each is a separate chunk that is loaded when a file needs it. */
const MODES: Readonly<Record<string, () => Promise<Extension>>> = {
  py: async () => (await import("@codemirror/lang-python")).python(),
  js: async () => (await import("@codemirror/lang-javascript")).javascript(),
  ts: async () => (await import("@codemirror/lang-javascript")).javascript({ typescript: true }),
  json: async () => (await import("@codemirror/lang-json")).json(),
  md: async () => (await import("@codemirror/lang-markdown")).markdown(),
  sh: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/shell")).shell),
  yaml: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/yaml")).yaml),
  toml: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/toml")).toml),
  dockerfile: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/dockerfile")).dockerFile),
  r: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/r")).r),
  jl: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/julia")).julia),
  rb: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/ruby")).ruby),
  c: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/clike")).c),
  cpp: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/clike")).cpp),
  rs: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/rust")).rust),
  go: () => legacy(async () => (await import("@codemirror/legacy-modes/mode/go")).go),
}
const SAME: Readonly<Record<string, string>> = {
  mjs: "js", cjs: "js", jsx: "js", tsx: "ts", geojson: "json", ipynb: "json", markdown: "md", bash: "sh", zsh: "sh", yml: "yaml",
  h: "c", cc: "cpp", hpp: "cpp",
}

/** The name of the mode for a file, or nothing for plain text. */
export function modeOf(name: string): string | undefined {
  const file = name.slice(name.lastIndexOf("/") + 1).toLowerCase()
  const ending = file.startsWith("dockerfile") ? "dockerfile" : (file.split(".").pop() ?? "")
  const mode = Object.hasOwn(SAME, ending) ? SAME[ending] : ending
  return mode !== undefined && Object.hasOwn(MODES, mode) ? mode : undefined
}

/** Loads the mode for a file. If the mode cannot be loaded, the file is shown as plain text. */
export async function languageOf(name: string): Promise<Extension> {
  const mode = modeOf(name)
  try {
    return mode === undefined ? [] : ((await MODES[mode]?.()) ?? [])
  } catch {
    return []
  }
}

async function legacy(mode: () => Promise<import("@codemirror/language").StreamParser<unknown>>): Promise<Extension> {
  const [{ StreamLanguage }, parser] = await Promise.all([import("@codemirror/language"), mode()])
  return StreamLanguage.define(parser)
}
