// Has the TypeScript compiler assign each golden file to the type that its name begins with.
//
//   node protocol/golden/check.mjs <folder that holds node_modules/typescript>
//
// JSON is written out as literals: an imported file would have its words widened to `string`.
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
const compiler = resolve(process.argv[2], "node_modules/typescript/lib/tsc.js")
const names = readdirSync(here).filter((name) => name.endsWith(".json"))
const lines = names.map((name, n) => {
  const type = name.split(".")[0]
  return `// ${name}\nexport const golden${n}: wire.${type} = ${readFileSync(join(here, name), "utf8").trim()}`
})
const folder = mkdtempSync(join(tmpdir(), "golden-"))
try {
  cpSync(join(here, "../../web/src/wire.ts"), join(folder, "wire.ts"))
  writeFileSync(join(folder, "golden.ts"), [`import type * as wire from "./wire"`, ...lines].join("\n") + "\n")
  const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
  const run = spawnSync(process.execPath, [compiler, ...options, "golden.ts"], { cwd: folder, stdio: "inherit" })
  if (run.status === 0) console.log(`${names.length} golden files have their types`)
  process.exitCode = run.status ?? 1
} finally {
  rmSync(folder, { recursive: true })
}
