import { mount, type Component } from "svelte"
import "./style.css"
import { pagePath } from "./root.ts"
import { loadPart } from "./ui/load.ts"

const target = document.getElementById("app")
if (target) await begin(target)

/** Loads and shows the page. If it cannot be loaded, a message appears in place of a blank page. */
async function begin(target: HTMLElement): Promise<void> {
  try {
    mount(await loadPart(() => page(pagePath())), { target })
  } catch (error) {
    console.error(error)
    const text = document.createElement("p")
    text.textContent = "This page could not be loaded. "
    text.style.padding = "1rem"
    const again = document.createElement("button")
    again.textContent = "Reload"
    again.onclick = () => location.reload()
    text.append(again)
    target.replaceChildren(text)
  }
}

/** One page for each path. Each is loaded separately: a link to a job does not load the editor. */
async function page(path: string): Promise<Component> {
  if (path.startsWith("j/")) return (await import("./pages/job/JobPage.svelte")).default
  if (path.startsWith("q/")) return (await import("./pages/queue/QueuePage.svelte")).default
  return (await import("./pages/client/ClientPage.svelte")).default
}
