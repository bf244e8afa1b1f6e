// Ends the service worker of another client that had this address before: a browser that was there keeps that client's page until
// its worker is replaced. This one takes over at once, removes what was kept, takes its registration back and shows this page.
self.addEventListener("install", () => self.skipWaiting())
self.addEventListener("activate", (event) => event.waitUntil(end()))

async function end() {
  for (const name of await caches.keys()) await caches.delete(name)
  await self.registration.unregister()
  for (const page of await self.clients.matchAll({ type: "window" })) await page.navigate(page.url).catch(() => {})
}
