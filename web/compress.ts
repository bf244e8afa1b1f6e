// Writes `<file>.br` and `<file>.gz` beside each built file that shrinks by it, so that the server never compresses.
import { readFile, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { brotliCompress, constants, gzip } from "node:zlib"
import type { Plugin } from "vite"

const COMPRESSIBLE = /\.(html|js|css|json|svg|txt)$/
/** Below this a compressed answer saves no packet. */
const BYTES_MIN = 1024

async function compressFile(path: string): Promise<void> {
  const bytes = await readFile(path)
  if (bytes.length < BYTES_MIN) return
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }
  const [brotli, gzipped] = await Promise.all([promisify(brotliCompress)(bytes, quality), promisify(gzip)(bytes, { level: 9 })])
  if (brotli.length < bytes.length) await writeFile(`${path}.br`, brotli)
  if (gzipped.length < bytes.length) await writeFile(`${path}.gz`, gzipped)
}

export function compress(): Plugin {
  let folder = ""
  return {
    name: "compress",
    apply: "build",
    configResolved(config) {
      folder = config.build.outDir
    },
    async closeBundle() {
      const entries = await readdir(folder, { recursive: true })
      await Promise.all(entries.filter((name) => COMPRESSIBLE.test(name)).map((name) => compressFile(join(folder, name))))
    },
  }
}
