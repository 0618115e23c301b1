/**
 * Committed offsets: a state machine over OFFSETS entries.
 *
 * They are kept by topic id, so a topic that was deleted and made again starts without any. An entry
 * is a type number and its fields (texts as length and UTF-8, numbers as varints):
 *
 *   1 commit   group · log time · count × { topic id · partition · offset · leader epoch or -1 · metadata }
 *   2 forget   group · count × { topic id · partition }
 *   3 dissolve group                                      all offsets of the group
 *   4 commit by a member: as 1, and the group has members
 *   5 mark     group · log time or -1                     since when the group is empty; -1: it has members
 *
 * Offsets expire as in Kafka (KIP-211): those of an empty group so long after it became empty or, if
 * that was later, after their commit; in a group with members those of topics that nobody reads, after
 * their commit. All by log time, so that neither a clock that jumps nor a long stop expires anything.
 *
 * Everything here is checked by the coordinator before it is encoded.
 */
import type { CommittedOffset } from '../../groups.ts'
import type { Offset } from '../../../model/offset.ts'
import type { StateEntry, StateMachine } from '../journal/state-machine.ts'
import { entryKinds } from '../journal/state-machine.ts'
import { FieldReader, FieldWriter } from './fields.ts'

export interface OffsetPlace {
  readonly topicId: string
  readonly partition: number
}

export interface OffsetRecord extends OffsetPlace {
  /** The next offset to read. */
  readonly offset: Offset
  readonly leaderEpoch: number | undefined
  readonly metadata: string
}

interface Kept {
  readonly offset: Offset
  readonly leaderEpoch: number | undefined
  readonly metadata: string
  /** Log time of the commit, ms: what expiry counts from. */
  readonly committedMs: number
}

const entryTypes = { COMMIT: 1, FORGET: 2, DISSOLVE: 3, MEMBER_COMMIT: 4, MARK: 5 } as const
/** Instead of a time since when a group is empty: it has members. */
const occupied = -1
const snapshotVersion = 2

export class CommittedOffsets implements StateMachine {
  readonly kind = entryKinds.OFFSETS
  /** Group -> topic id -> partition. No map in it is empty. */
  readonly #groups = new Map<string, Map<string, Map<number, Kept>>>()
  /** Since when a group is empty, log time, ms; none for one that never had members. */
  readonly #emptySince = new Map<string, number>()

  has(group: string): boolean {
    return this.#groups.has(group)
  }

  groups(): Iterable<string> {
    return this.#groups.keys()
  }

  get groupCount(): number {
    return this.#groups.size
  }

  /** Whether the group had members, as far as the entries tell. */
  isOccupied(group: string): boolean {
    return this.#emptySince.get(group) === occupied
  }

  /** Places whose offsets have expired; `isRead` tells of a topic whether a member reads it. */
  expired(group: string, beforeMs: number, isRead: (topicId: string) => boolean): OffsetPlace[] {
    const emptySince = this.#emptySince.get(group) ?? 0
    const places: OffsetPlace[] = []
    for (const { topicId, partition, committedMs } of this.#all(group)) {
      const sinceMs = emptySince === occupied ? committedMs : Math.max(committedMs, emptySince)
      if (sinceMs <= beforeMs && !isRead(topicId)) places.push({ topicId, partition })
    }
    return places
  }

  find(group: string, { topicId, partition }: OffsetPlace): OffsetRecord | undefined {
    const kept = this.#groups.get(group)?.get(topicId)?.get(partition)
    return kept === undefined ? undefined : { topicId, partition, ...kept }
  }

  all(group: string): Iterable<OffsetRecord> {
    return this.#all(group)
  }

  *#all(group: string): Iterable<OffsetPlace & Kept> {
    for (const [topicId, partitions] of this.#groups.get(group) ?? []) {
      for (const [partition, kept] of partitions) yield { topicId, partition, ...kept }
    }
  }

  /** Stores the offsets and returns the entry that says so; both in one turn. */
  commit(
    group: string,
    logTimeMs: number,
    offsets: readonly OffsetRecord[],
    byMember = false,
  ): StateEntry {
    const type = byMember ? entryTypes.MEMBER_COMMIT : entryTypes.COMMIT
    const fields = new FieldWriter().number(type).text(group)
    fields.number(Math.trunc(logTimeMs)).number(offsets.length)
    for (const { topicId, partition, offset, leaderEpoch, metadata } of offsets) {
      fields.text(topicId).number(partition).number(offset)
      fields.number(leaderEpoch ?? -1).text(metadata)
    }
    return this.#applied(fields)
  }

  forget(group: string, places: readonly OffsetPlace[]): StateEntry {
    const fields = new FieldWriter().number(entryTypes.FORGET).text(group).number(places.length)
    for (const { topicId, partition } of places) fields.text(topicId).number(partition)
    return this.#applied(fields)
  }

  /** Undefined: the group has members. It has offsets, else there is nothing to mark. */
  mark(group: string, emptySinceMs: number | undefined): StateEntry {
    const since = emptySinceMs === undefined ? occupied : Math.trunc(emptySinceMs)
    return this.#applied(new FieldWriter().number(entryTypes.MARK).text(group).number(since))
  }

  dissolve(group: string): StateEntry {
    return this.#applied(new FieldWriter().number(entryTypes.DISSOLVE).text(group))
  }

  /** Part of applying the deletion of a topic, so it needs no entry of its own. */
  dropTopic(topicId: string): void {
    for (const [group, topics] of this.#groups) {
      topics.delete(topicId)
      if (topics.size === 0) this.#dropGroup(group)
    }
  }

  apply(payload: Uint8Array): void {
    const fields = new FieldReader(payload)
    const type = fields.number()
    const group = fields.text()
    switch (type) {
      case entryTypes.MEMBER_COMMIT:
        this.#applyCommit(group, fields)
        this.#mark(group, occupied)
        break
      case entryTypes.COMMIT:
        this.#applyCommit(group, fields)
        break
      case entryTypes.MARK:
        this.#mark(group, fields.number())
        break
      case entryTypes.FORGET:
        for (let left = fields.number(); left > 0; left--) {
          this.#drop(group, fields.text(), fields.number())
        }
        break
      case entryTypes.DISSOLVE:
        this.#dropGroup(group)
        break
      default:
        throw new RangeError(`Entry type ${type} of committed offsets is unknown.`)
    }
    if (!fields.done) throw new RangeError('Bytes stand behind an entry of committed offsets.')
  }

  snapshot(): Uint8Array {
    const fields = new FieldWriter().number(snapshotVersion).number(this.#groups.size)
    for (const [group, topics] of this.#groups) {
      fields
        .text(group)
        .number(this.#emptySince.get(group) ?? 0)
        .number(topics.size)
      for (const [topicId, partitions] of topics) {
        fields.text(topicId).number(partitions.size)
        for (const [partition, { offset, leaderEpoch, metadata, committedMs }] of partitions) {
          fields
            .number(partition)
            .number(offset)
            .number(leaderEpoch ?? -1)
          fields.text(metadata).number(committedMs)
        }
      }
    }
    return fields.finish()
  }

  restore(section: Uint8Array): void {
    const fields = new FieldReader(section)
    const version = fields.number()
    if (version < 1 || version > snapshotVersion) {
      throw new RangeError(`Version ${version} of the committed offsets is unknown.`)
    }
    for (let groups = fields.number(); groups > 0; groups--) {
      const group = fields.text()
      // Version 1 did not keep it: then the commits alone count.
      const emptySince = version === 1 ? 0 : fields.number()
      if (emptySince !== 0) this.#emptySince.set(group, emptySince)
      for (let topics = fields.number(); topics > 0; topics--) {
        const topicId = fields.text()
        for (let partitions = fields.number(); partitions > 0; partitions--) {
          const partition = fields.number()
          const offset = fields.number()
          const leaderEpoch = epochOf(fields.number())
          const metadata = fields.text()
          const committedMs = fields.number()
          this.#put(group, topicId, partition, { offset, leaderEpoch, metadata, committedMs })
        }
      }
    }
  }

  /** The live verbs go the way of the replay, so both leave the same state. */
  #applied(fields: FieldWriter): StateEntry {
    const payload = fields.finish()
    this.apply(payload)
    return { kind: this.kind, payload }
  }

  #applyCommit(group: string, fields: FieldReader): void {
    const committedMs = fields.number()
    for (let left = fields.number(); left > 0; left--) {
      const topicId = fields.text()
      const partition = fields.number()
      const offset = fields.number()
      const leaderEpoch = epochOf(fields.number())
      const metadata = fields.text()
      this.#put(group, topicId, partition, { offset, leaderEpoch, metadata, committedMs })
    }
  }

  #put(group: string, topicId: string, partition: number, kept: Kept): void {
    const topics = this.#groups.get(group) ?? new Map<string, Map<number, Kept>>()
    this.#groups.set(group, topics)
    const partitions = topics.get(topicId) ?? new Map<number, Kept>()
    topics.set(topicId, partitions)
    partitions.set(partition, kept)
  }

  #drop(group: string, topicId: string, partition: number): void {
    const topics = this.#groups.get(group)
    const partitions = topics?.get(topicId)
    partitions?.delete(partition)
    if (partitions?.size === 0) topics?.delete(topicId)
    if (topics?.size === 0) this.#dropGroup(group)
  }

  #mark(group: string, emptySince: number): void {
    if (this.#groups.has(group)) this.#emptySince.set(group, emptySince)
  }

  #dropGroup(group: string): void {
    this.#groups.delete(group)
    this.#emptySince.delete(group)
  }
}

function epochOf(number: number): number | undefined {
  return number < 0 ? undefined : number
}

/** What one commit takes in a frame at most, without its metadata; the first one's also covers the group. */
const commitBytesMax = 320

/** What these commits take in a journal frame at most, bytes. */
export function commitsBytesAtMost(commits: readonly CommittedOffset[]): number {
  let bytes = 0
  for (const { metadata = '' } of commits) bytes += commitBytesMax + Buffer.byteLength(metadata)
  return bytes
}
