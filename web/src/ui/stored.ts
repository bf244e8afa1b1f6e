/** Reads a small setting of this browser. A frame may have no storage; then every setting has its default. */
export function stored(key: string): string | undefined {
  try {
    return localStorage.getItem(`asman-${key}`) ?? undefined
  } catch {
    return undefined
  }
}

/** Stores a small setting of this browser, if possible. */
export function store(key: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(`asman-${key}`)
    else localStorage.setItem(`asman-${key}`, value)
  } catch {
    // If storage is full or denied, the setting lives as long as the page.
  }
}
