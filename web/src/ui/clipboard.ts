/**
 * Copies a text to the clipboard. In a frame without the permission it uses the old way: it selects the text and copies the
 * selection. Returns whether it worked.
 */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copySelected(text)
  }
}

function copySelected(text: string): boolean {
  const area = document.createElement("textarea")
  area.value = text
  area.style.position = "fixed"
  area.style.opacity = "0"
  document.body.append(area)
  area.select()
  try {
    return document.execCommand("copy")
  } finally {
    area.remove()
  }
}

/**
 * Starts a download of a file. The blob's URL is released a minute later, when the browser has surely begun to read it.
 */
export function saveFile(name: string, content: Blob): void {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(content)
  link.download = name.split("/").pop() || "file"
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
