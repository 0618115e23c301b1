/** What the push door reports; `app` plugs metrics in. */
import type { Gap } from '../consume/gap.ts'

export interface PushMeter {
  /** Open WebSockets, now. */
  connections(count: number): void
  /** Subscriptions over all connections, now. */
  subscriptions(count: number): void
  /** Feeds with at least one subscriber, now. */
  feeds(count: number): void
  /** Bytes that all rings hold, now. */
  ringBytes(bytes: number): void
  /** One write to one subscriber. */
  delivered(records: number, bytes: number): void
  /** A subscriber was told that records are missing. */
  gap(why: Gap['why']): void
  /** A connection is gone; 1006 when no close was exchanged. */
  closed(code: number): void
  /** An upgrade was refused before the 101. */
  refused(why: string): void
}

export const silentPushMeter: PushMeter = {
  connections: () => undefined,
  subscriptions: () => undefined,
  feeds: () => undefined,
  ringBytes: () => undefined,
  delivered: () => undefined,
  gap: () => undefined,
  closed: () => undefined,
  refused: () => undefined,
}
