import { mount, type Component } from "svelte"
import "./style.css"
import { pagePath } from "./root.ts"

const target = document.getElementById("app")
if (target) mount(await page(pagePath()), { target })

/** One page a path. Each is loaded on its own: who follows a link to a job does not pay for the editor. */
async function page(path: string): Promise<Component> {
  if (path.startsWith("j/")) return (await import("./pages/job/JobPage.svelte")).default
  if (path.startsWith("q/")) return (await import("./pages/queue/QueuePage.svelte")).default
  return (await import("./pages/client/ClientPage.svelte")).default
}
