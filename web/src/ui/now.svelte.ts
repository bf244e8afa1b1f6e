/** The time, renewed each half second while the component that asks for it lives. Call it while a component is made. */
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
