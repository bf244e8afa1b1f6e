import type { MetaframeState } from "../client/client.ts"

/** What the page sees of the parent. */
export class Frame implements MetaframeState {
  isEmbedded = $state(false)
  isConnected = $state(false)
  delivered: MetaframeState["delivered"] = $state.raw(undefined)
}
