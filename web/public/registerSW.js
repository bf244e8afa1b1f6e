// A page of another client that had this address before asks for this to register its service worker. It ends that worker instead and
// loads the page that is here now.
(async () => {
  if (!("serviceWorker" in navigator)) return
  const registrations = await navigator.serviceWorker.getRegistrations()
  for (const registration of registrations) await registration.unregister()
  for (const name of await caches.keys()) await caches.delete(name)
  // Once: nothing is registered after it.
  if (registrations.length > 0) location.reload()
})()
