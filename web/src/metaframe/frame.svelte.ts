import type { MetaframeState } from "../client/client.ts"

/** The page's view of the parent. */
export class Frame implements MetaframeState {
  isEmbedded = $state(false)
  isConnected = $state(false)
  delivered: MetaframeState["delivered"] = $state.raw(undefined)
}
