const WAITS_MS = [300, 1_500]

/**
 * Loads a part of the page. If the network fails for a moment, for example when a laptop changes networks, tries twice more. Some
 * browsers remember that a module failed and fail at once at each try; then the last error is thrown.
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
