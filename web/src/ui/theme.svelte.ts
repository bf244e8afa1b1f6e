import { store, stored } from "./stored.ts"

const systemDark = matchMedia("(prefers-color-scheme: dark)")
let choice = $state<"auto" | "light" | "dark">(readChoice())
let isSystemDark = $state(systemDark.matches)
systemDark.addEventListener("change", (event) => (isSystemDark = event.matches))
apply()

/** Light or dark: the system's setting until the user chooses. */
export const theme = {
  get isDark(): boolean {
    return choice === "auto" ? isSystemDark : choice === "dark"
  },
  /** Switches to the other theme. If that is the system's setting, the stored choice is removed. */
  toggle(): void {
    const wanted = this.isDark ? "light" : "dark"
    choice = (wanted === "dark") === isSystemDark ? "auto" : wanted
    store("theme", choice === "auto" ? undefined : choice)
    apply()
  },
}

function readChoice(): "auto" | "light" | "dark" {
  const kept = stored("theme")
  return kept === "light" || kept === "dark" ? kept : "auto"
}

function apply(): void {
  if (choice === "auto") delete document.documentElement.dataset["theme"]
  else document.documentElement.dataset["theme"] = choice
}
