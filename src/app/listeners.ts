/** Where the gateway listens, and which dialect of v2 is spoken there. */
import type { DialectName } from '../http/v2/dialects.ts'

/** What the settings say about listening. */
interface ListenerSettings {
  readonly host: string
  readonly port: number
  readonly http: { readonly dialect: DialectName; readonly listeners: readonly string[] }
}

export interface Listener {
  readonly host: string
  readonly port: number
  readonly dialect: DialectName
}

/** `dialect=port` or `dialect=host:port`; an IPv6 address stands in brackets. */
export const listenerPattern =
  '^(confluent|karapace|redpanda|strimzi)=(([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):)?[0-9]{1,5}$'

/** The main one first; those without a host of their own listen where it does. */
export function listenersOf({ host, port, http }: ListenerSettings): Listener[] {
  const further = http.listeners.map((text): Listener => {
    const [dialect = '', place = ''] = text.split('=')
    const colon = place.lastIndexOf(':')
    const own = colon < 0 ? host : place.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
    return { host: own, port: Number(place.slice(colon + 1)), dialect: dialect as DialectName }
  })
  return [{ host, port, dialect: http.dialect }, ...further]
}
