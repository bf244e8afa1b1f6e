import { svelte } from "@sveltejs/vite-plugin-svelte"
import { defineConfig } from "vite"
import { compress } from "./compress.ts"

export default defineConfig({
  plugins: [svelte(), compress()],
  // The server may hang below any path of a proxy: every address in the output is relative, and `api/` adds the `../`s of a
  // page that lies deeper.
  base: "./",
  build: {
    target: "es2022",
    // A file of its own for everything: data: URLs would need holes in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // Compressing at the end takes most of the time, which is meant.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  server: {
    // The texts of the examples lie beside this folder.
    fs: { allow: [".."] },
    proxy: { "^/(q|j|f|healthz|readyz|docs|openapi.json|metrics|download)(/|$)": { target: process.env["ASMAN_API"] ?? "http://localhost:8000", ws: true } },
  },
})
