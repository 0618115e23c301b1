/**
 * The catalog: which topics exist, under which ids, with which partitions and configuration. A state
 * machine fed by META entries; a payload is one JSON object:
 *
 *   {"op":"create","name":…,"id":…,"firstRef":n,"partitions":n,"config":{…}}
 *   {"op":"delete","id":…}
 *   {"op":"grow","id":…,"firstRef":n,"partitions":n}       firstRef and count of the added ones
 *   {"op":"config","id":…,"config":{…}}                    the whole configuration
 *   {"op":"logStart","id":…,"partition":n,"offset":n}
 *   {"op":"compacted","id":…,"partition":n,"end":n,"tombstonesDueMs":n|null}
 *
 * Snapshot: {"nextRef":n,"topics":[{"name","id","config","refs":[[first,count],…],"logStarts":[[partition,offset],…],
 * "compacted":[[partition,end,tombstonesDueMs|null],…]}]}
 */
import type { Offset } from '../../../model/offset.ts'
import { collisionName } from '../../../model/topic.ts'
import type { StateEntry, StateMachine } from '../journal/state-machine.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { PartitionSettings } from '../log/partition-settings.ts'
import type { Partitions } from '../log/partitions.ts'
import type { TopicConfig } from './topic-config.ts'
import { settingsOf } from './topic-config.ts'

export type CatalogChange =
  | {
      readonly op: 'create'
      readonly name: string
      readonly id: string
      readonly firstRef: number
      readonly partitions: number
      readonly config: TopicConfig
    }
  | { readonly op: 'delete'; readonly id: string }
  | {
      readonly op: 'grow'
      readonly id: string
      readonly firstRef: number
      readonly partitions: number
    }
  | { readonly op: 'config'; readonly id: string; readonly config: TopicConfig }
  | {
      readonly op: 'logStart'
      readonly id: string
      readonly partition: number
      readonly offset: Offset
    }
  | {
      readonly op: 'compacted'
      readonly id: string
      readonly partition: number
      readonly end: Offset
      readonly tombstonesDueMs: number | null
    }

/** A topic as the newest state has it, durable or not. */
export interface CatalogTopic {
  readonly name: string
  readonly id: string
  /** By partition number. */
  readonly logs: PartitionLog[]
  readonly settings: PartitionSettings
  config: TopicConfig
}

/** A topic in a snapshot. */
export interface TopicSection {
  readonly name: string
  readonly id: string
  readonly config: TopicConfig
  readonly refs: readonly (readonly [first: number, count: number])[]
  readonly logStarts: readonly (readonly [partition: number, offset: Offset])[]
  /** Absent in snapshots of versions that did not compact. */
  readonly compacted?: readonly (readonly [
    partition: number,
    end: Offset,
    tombstonesDueMs: number | null,
  ])[]
}

export class TopicCatalog implements StateMachine {
  readonly kind = entryKinds.META
  readonly #partitions: Partitions
  readonly #byName = new Map<string, CatalogTopic>()
  readonly #byId = new Map<string, CatalogTopic>()
  readonly #collisions = new Map<string, string>()
  readonly #deleteListeners: ((topicId: string) => void)[] = []
  #nextRef = 1
  #partitionCount = 0

  constructor(partitions: Partitions) {
    this.#partitions = partitions
  }

  /** Partitions of all topics. */
  get partitionCount(): number {
    return this.#partitionCount
  }

  /** The number that the next new partition gets. */
  get nextRef(): number {
    return this.#nextRef
  }

  byName(name: string): CatalogTopic | undefined {
    return this.#byName.get(name)
  }

  byId(id: string): CatalogTopic | undefined {
    return this.#byId.get(id)
  }

  all(): Iterable<CatalogTopic> {
    return this.#byName.values()
  }

  /** The topic whose name differs from `name` in `.` and `_` alone. */
  collision(name: string): string | undefined {
    const other = this.#collisions.get(collisionName(name))
    return other === name ? undefined : other
  }

  /** Called in the turn in which a delete is applied, during recovery too. */
  onDelete(listener: (topicId: string) => void): void {
    this.#deleteListeners.push(listener)
  }

  /** Applies a live change; the entry must join the journal in this same turn. */
  change(change: CatalogChange): StateEntry {
    this.#apply(change)
    return { kind: this.kind, payload: Buffer.from(JSON.stringify(change)) }
  }

  apply(payload: Uint8Array): void {
    this.#apply(JSON.parse(Buffer.from(payload).toString()) as CatalogChange)
  }

  snapshot(): Uint8Array {
    const topics = [...this.#byName.values()].map(sectionOf)
    return Buffer.from(JSON.stringify({ nextRef: this.#nextRef, topics }))
  }

  restore(section: Uint8Array): void {
    const { nextRef, topics } = parseSection(section)
    for (const { name, id, config, refs, logStarts, compacted = [] } of topics) {
      const topic = this.#add(name, id, config)
      for (const [first, count] of refs) this.#addPartitions(topic, first, count)
      for (const [partition, offset] of logStarts) moveLogStart(topic.logs[partition]!, offset)
      for (const [partition, end, dueMs] of compacted) {
        noteCompacted(topic.logs[partition]!, end, dueMs)
      }
    }
    this.#nextRef = nextRef
  }

  #apply(change: CatalogChange): void {
    switch (change.op) {
      case 'create': {
        const topic = this.#add(change.name, change.id, change.config)
        this.#addPartitions(topic, change.firstRef, change.partitions)
        return
      }
      case 'grow':
        this.#addPartitions(this.#known(change.id), change.firstRef, change.partitions)
        return
      case 'config': {
        const topic = this.#known(change.id)
        topic.config = change.config
        Object.assign(topic.settings, settingsOf(change.config))
        return
      }
      case 'logStart':
        moveLogStart(this.#known(change.id).logs[change.partition]!, change.offset)
        return
      case 'compacted': {
        const { id, partition, end, tombstonesDueMs } = change
        noteCompacted(this.#known(id).logs[partition]!, end, tombstonesDueMs)
        return
      }
      case 'delete':
        this.#delete(this.#known(change.id))
        return
    }
  }

  #add(name: string, id: string, config: TopicConfig): CatalogTopic {
    const topic: CatalogTopic = { name, id, config, logs: [], settings: settingsOf(config) }
    this.#byName.set(name, topic)
    this.#byId.set(id, topic)
    this.#collisions.set(collisionName(name), name)
    return topic
  }

  #addPartitions(topic: CatalogTopic, firstRef: number, count: number): void {
    const { name, id, settings, logs } = topic
    for (let i = 0; i < count; i++) {
      const tp = { topic: name, partition: logs.length }
      logs.push(this.#partitions.add({ tp, topicId: id, ref: firstRef + i, settings }))
    }
    this.#nextRef = Math.max(this.#nextRef, firstRef + count)
    this.#partitionCount += count
  }

  #delete(topic: CatalogTopic): void {
    this.#byName.delete(topic.name)
    this.#byId.delete(topic.id)
    this.#collisions.delete(collisionName(topic.name))
    for (const log of topic.logs) this.#partitions.forget(log.ref)
    this.#partitionCount -= topic.logs.length
    for (const listener of this.#deleteListeners) listener(topic.id)
  }

  /** An entry that names an unknown topic would mean that the journal is not what we wrote. */
  #known(id: string): CatalogTopic {
    const topic = this.#byId.get(id)
    if (topic === undefined) throw new Error(`Assertion: the journal names an unknown topic ${id}.`)
    return topic
  }
}

/** The topics of a snapshot's section, without a catalog around them. */
export function readTopics(section: Uint8Array): readonly TopicSection[] {
  return parseSection(section).topics
}

function parseSection(section: Uint8Array): { nextRef: number; topics: TopicSection[] } {
  return JSON.parse(Buffer.from(section).toString()) as { nextRef: number; topics: TopicSection[] }
}

function moveLogStart(log: PartitionLog, offset: Offset): void {
  log.plannedLogStart = Math.max(log.plannedLogStart, offset)
}

/** JSON has no Infinity: null is a partition without tombstones that will have to go. */
function noteCompacted(log: PartitionLog, end: Offset, tombstonesDueMs: number | null): void {
  log.compactedEnd = end
  log.tombstonesDueMs = tombstonesDueMs ?? Infinity
}

function sectionOf({ name, id, config, logs }: CatalogTopic): TopicSection {
  const refs: [number, number][] = []
  const logStarts: [number, number][] = []
  const compacted: [number, number, number | null][] = []
  for (const [partition, log] of logs.entries()) {
    const last = refs.at(-1)
    if (last !== undefined && last[0] + last[1] === log.ref) last[1]++
    else refs.push([log.ref, 1])
    if (log.plannedLogStart > 0) logStarts.push([partition, log.plannedLogStart])
    const { compactedEnd, tombstonesDueMs } = log
    if (compactedEnd > 0) {
      compacted.push([
        partition,
        compactedEnd,
        Number.isFinite(tombstonesDueMs) ? tombstonesDueMs : null,
      ])
    }
  }
  return { name, id, config, refs, logStarts, compacted }
}
