const WAITS_MS = [300, 1_500]

/**
 * Loads a part of the page, and tries twice more when the network fails for a moment, for example when a laptop changes networks.
 * Browsers that remember a failed module fail at once each time; then the last error is thrown.
 */
export async function loadPart<T>(load: () => Promise<T>): Promise<T> {
  for (const wait of WAITS_MS) {
    try {
      return await load()
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
  }
  return load()
}
