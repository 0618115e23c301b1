/** What a client does after each close code: docs/push-protocol.md, "Close codes". */

export type AfterClose = 'stop' | 'back-off' | 'hint' | 'now' | 'once'

/**
 * 1000 and 4xxx below 4500 mean: not again like this. (4401 wants a new token, which this client has
 * no way to get yet.) Everything else, known or not, comes back.
 */
export function afterClose(code: number): AfterClose {
  if (code === 1000) return 'stop'
  if (code === 1009) return 'once'
  if (code === 4504) return 'now'
  if (code === 4503 || code === 4508 || code === 4529) return 'hint'
  return code >= 4000 && code < 4500 ? 'stop' : 'back-off'
}

/** The server's own moment for this client, ms, from a reason such as `DRAINING retry=1830`. */
export function retryHint(reason: string): number | undefined {
  const match = /(?:^| )retry=(\d{1,7})$/.exec(reason)
  return match === null ? undefined : Number(match[1])
}
