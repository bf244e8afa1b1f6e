/** The queue's name out of the page's path, `q/<name>`. */
export function queueName(path: string): string {
  const name = path.replace(/^q\//, "").replace(/\/+$/, "")
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/**
 * What to type to run jobs of a queue on another machine. A token is named, never written out: command lines are kept and seen.
 */
export function workerCommand(root: URL, queue: string, hasToken: boolean): string {
  const token = hasToken ? "ASMAN_WORKER_TOKEN=<token> " : ""
  return `${token}asman --api ${quoted(root.href.replace(/\/$/, ""))} worker run ${quoted(queue)}`
}

/** A word that a shell takes as it is, and one that begins with a dash as no option. */
function quoted(text: string): string {
  const word = /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
  return text.startsWith("-") ? `-- ${word}` : word
}
