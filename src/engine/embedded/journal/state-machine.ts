/**
 * What the journal asks of the rooms whose state it keeps (catalog, committed offsets, groups).
 *
 * One total order holds for everything: a change is applied when its entry joins the open commit
 * group ("applied early"), and shown to callers only when that frame is durable ("shown late").
 * So a live verb of a state machine (1) checks against the newest state, and by `refusal` that there
 * is room, (2) encodes its change, (3) applies it and hands it to `JournalWriter.write` in the same
 * turn, with no `await` between, and (4) answers after the returned promise resolves. A read takes
 * what it wants from the newest state in one turn, then awaits `JournalWriter.settled()` before it
 * answers.
 */
import type { GatewayError } from '../../../model/errors.ts'

/** Kinds of journal entries on disk; the numbers are part of the format. */
export const entryKinds = { BATCH: 1, META: 2, OFFSETS: 3, GROUP: 4 } as const
export type EntryKind = (typeof entryKinds)[keyof typeof entryKinds]

export interface StateEntry {
  readonly kind: EntryKind
  readonly payload: Uint8Array
}

export interface StateMachine {
  readonly kind: EntryKind
  /** Replays one entry during recovery; the same function serves the live verb. */
  apply(payload: Uint8Array): void
  /** The whole state, encoded in the turn in which a frame is sealed. Never live memory. */
  snapshot(): Uint8Array
  /** Fills an empty machine from a snapshot. */
  restore(section: Uint8Array): void
}

export interface JournalWriter {
  /** Why an entry of about so many bytes cannot be taken now: DISK_FULL or OVERLOADED, nothing applied. */
  refusal(bytes: number): GatewayError | undefined
  /**
   * Joins the open commit group, all entries in one frame. Resolves when the frame is durable;
   * rejects with IO_ERROR (`applied: maybe`) when the disk failed, after which the engine is fenced,
   * and with TIMEOUT (`maybe`) after `timeoutMs` (default: that of a produce).
   */
  write(entries: readonly StateEntry[], timeoutMs?: number): Promise<void>
  /** Resolves when everything that had joined a group before this call is durable. */
  settled(timeoutMs?: number): Promise<void>
  /** Milliseconds of service: begins as a date, never goes back, never jumps with the wall clock. */
  logTimeMs(): number
}
