/** The time, updated each half second while the calling component lives. Call it while a component is created. */
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
