/** The queue's name out of the page's path, `q/<name>`. */
export function queueName(path: string): string {
  const name = path.replace(/^q\//, "").replace(/\/+$/, "")
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
