/**
 * SHA-256 in pieces. The browser's own (`crypto.subtle`) takes only whole buffers and is missing on plain HTTP, so large files
 * and intranets need this one. @noble/hashes is as fast (100 MB/s), but adds 1.5 kB to the first load.
 */
const K = new Int32Array(64)
const START = new Int32Array(8)
for (let n = 2, found = 0; found < 64; n++) {
  if (!isPrime(n)) continue
  if (found < 8) START[found] = fraction(Math.sqrt(n))
  K[found++] = fraction(Math.cbrt(n))
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return true
}

/** The first 32 bits of the fraction. */
function fraction(x: number): number {
  return Math.floor((x - Math.floor(x)) * 2 ** 32) | 0
}

/** A hash in progress. It takes bytes piece by piece and buffers 64 of them. */
export class Sha256 {
  readonly #state = START.slice()
  readonly #words = new Int32Array(64)
  readonly #rest = new Uint8Array(64)
  #nRest = 0
  #nBytes = 0

  /** Takes further bytes. */
  update(bytes: Uint8Array): this {
    this.#nBytes += bytes.length
    let at = 0
    if (this.#nRest > 0) {
      at = Math.min(64 - this.#nRest, bytes.length)
      this.#rest.set(bytes.subarray(0, at), this.#nRest)
      this.#nRest += at
      if (this.#nRest < 64) return this
      this.#block(this.#rest, 0)
      this.#nRest = 0
    }
    for (; at + 64 <= bytes.length; at += 64) this.#block(bytes, at)
    this.#rest.set(bytes.subarray(at))
    this.#nRest = bytes.length - at
    return this
  }

  /** Finishes the hash: lowercase hex. The object cannot be used afterwards. */
  hex(): string {
    const nBits = this.#nBytes * 8
    const padding = new Uint8Array(((this.#nRest < 56 ? 56 : 120) - this.#nRest) + 8)
    padding[0] = 0x80
    const view = new DataView(padding.buffer)
    view.setUint32(padding.length - 8, Math.floor(nBits / 2 ** 32))
    view.setUint32(padding.length - 4, nBits >>> 0)
    this.update(padding)
    return Array.from(this.#state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("")
  }

  #block(bytes: Uint8Array, from: number): void {
    const w = this.#words
    for (let i = 0, at = from; i < 16; i++, at += 4) {
      w[i] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15]!
      const y = w[i - 2]!
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
      w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0
    }
    this.#rounds(w)
  }

  #rounds(w: Int32Array): void {
    const state = this.#state
    // Not destructured, because the iterator of a typed array would take half of the time.
    let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!, e = state[4]!, f = state[5]!, g = state[6]!, h = state[7]!
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + t1) | 0
      d = c
      c = b
      b = a
      a = (t1 + t2) | 0
    }
    state[0]! += a
    state[1]! += b
    state[2]! += c
    state[3]! += d
    state[4]! += e
    state[5]! += f
    state[6]! += g
    state[7]! += h
  }
}

/** SHA-256 of bytes in memory, in lowercase hex. */
export function sha256Hex(bytes: Uint8Array): string {
  return new Sha256().update(bytes).hex()
}

/** Bytes that are hashed at a time: a few milliseconds, so that the page stays responsive. */
const SLICE_BYTES = 2 * 1024 * 1024

/** SHA-256 of a blob of any size, slice by slice: only one slice is in memory. `isStale` ends it early with undefined. */
export async function sha256OfBlob(blob: Blob, isStale: () => boolean = () => false): Promise<string | undefined> {
  const hash = new Sha256()
  for (let at = 0; at < blob.size; at += SLICE_BYTES) {
    if (isStale()) return undefined
    hash.update(new Uint8Array(await blob.slice(at, at + SLICE_BYTES).arrayBuffer()))
  }
  return hash.hex()
}
