/** A page that holds our client in a frame, by a real metapage library of an old or a new version. */
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { createServer } from "node:http"
import { openPage } from "./stack.mjs"

/** The libraries, by the version of metapage that they are. */
export const VERSIONS = { "1.5.0": "metapage-1.5.0", "1.10.10": "@metapages/metapage" }

const HTML = `<!doctype html><meta charset="utf-8"><title>Parent</title><script type="module">
  const { Metapage } = await import("/" + new URLSearchParams(location.search).get("library") + "/dist/index.js")
  let isDeaf = false
  const seen = []
  addEventListener("message", (event) => {
    if (event.data?.jsonrpc) seen.push(event.data.method)
    if (isDeaf) event.stopImmediatePropagation()
  }, true)
  const host = {
    seen, urls: [],
    hear: (hears) => { isDeaf = !hears },
    async open(url) {
      host.metapage = await Metapage.from({ version: "1", metaframes: { asman: { url } } })
      host.metapage.on("definition", ({ definition }) => host.urls.push(definition.metaframes.asman.url))
      const iframe = await host.metapage.getMetaframe("asman").iframe
      iframe.style = "width: 100%; height: 600px"
      document.body.append(iframe)
    },
  }
  globalThis.host = host
</script>`

/** Serves the page, and the libraries, on an origin of its own. */
export async function serveParents() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost")
    const library = Object.values(VERSIONS).find((name) => pathname === `/${name}/dist/index.js`)
    const body = library ? await readFile(new URL(`../node_modules/${library}/dist/index.js`, import.meta.url)) : HTML
    response.writeHead(200, { "Content-Type": library ? "text/javascript" : "text/html" }).end(body)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { url: `http://127.0.0.1:${server.address().port}`, close }
}

/**
 * Opens a parent of one library version with our client at `url` in its frame. `isDeaf`: it hears nothing of the frame before
 * `hear`. Gives the page and what the parent has seen.
 */
export async function openParent(browser, parents, version, url, { isDeaf = false } = {}) {
  const page = await openPage(browser)
  await page.goto(`${parents.url}/?library=${VERSIONS[version]}`)
  await page.waitForFunction(() => globalThis.host)
  if (isDeaf) await page.evaluate(() => globalThis.host.hear(false))
  await page.evaluate((address) => globalThis.host.open(address), url)
  const read = (what) => () => page.evaluate(what)
  return {
    page,
    /** Methods of the messages that came from the frame. */
    seen: read(() => globalThis.host.seen),
    /** Outputs of the frame as they are routed on, all updates merged. */
    outputs: read(() => globalThis.host.metapage.getState().metaframes.outputs.asman ?? {}),
    /** Addresses of the frame that the parent would store, oldest first. */
    urls: read(() => globalThis.host.urls),
    hear: read(() => globalThis.host.hear(true)),
    /** Sends inputs to the frame. */
    send: (inputs) => page.evaluate((values) => globalThis.host.metapage.setInputs({ asman: values }), inputs),
    close: () => page.context().close(),
  }
}
