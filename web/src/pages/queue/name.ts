/** The queue's name from the page's path, `q/<name>`. */
export function queueName(path: string): string {
  const name = path.replace(/^q\//, "").replace(/\/+$/, "")
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
