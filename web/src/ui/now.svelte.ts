/** The time, updated each half second while the calling component exists. Call it only while a component is being created. */
export function ticking(): { readonly now: number } {
  let now = $state(Date.now())
  $effect(() => {
    const timer = setInterval(() => (now = Date.now()), 500)
    return () => clearInterval(timer)
  })
  return {
    get now() {
      return now
    },
  }
}
