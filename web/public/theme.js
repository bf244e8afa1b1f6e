// The theme that a person chose has to stand before the first frame, and so before the page's own code, which comes later. It is
// kept under this name by src/ui/theme.svelte.ts.
try {
  const chosen = localStorage.getItem("asman-theme")
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen
} catch {
  // A frame may be denied its storage.
}
