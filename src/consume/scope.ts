/** What a read covers, and where in it a place lies: topics to partitions, places to offsets. */
import type { CallOptions } from '../engine/call.ts'
import type { Log, OffsetWord } from '../engine/log.ts'
import type { TopicDescription, Topics } from '../engine/topics.ts'
import { GatewayError } from '../model/errors.ts'
import type { Offset } from '../model/offset.ts'
import type { Place } from '../model/place.ts'
import type { Position, TopicPosition } from '../model/position.ts'
import type { TopicPartition } from '../model/topic.ts'
import { isInternalTopic } from '../model/topic.ts'
import type { Gap, OnGap } from './gap.ts'
import { gapError } from './gap.ts'

/** What a caller names. */
export interface ReadTopic {
  readonly topic: string
  /** Absent: all of them. */
  readonly partitions?: readonly number[]
}

/** One topic of a read, as it is now. */
export interface TopicScope {
  readonly topic: string
  /** The topic's id. */
  readonly epoch: string
  /** The partitions to read, in rising order. */
  readonly partitions: readonly number[]
  /** All partitions are meant, those born later too. */
  readonly whole: boolean
  /** How many partitions the topic has. */
  readonly partitionCount: number
}

/** One partition of a read and an offset in it. */
export interface PartitionPlace {
  readonly tp: TopicPartition
  readonly epoch: string
  readonly offset: Offset
}

/**
 * Looks the topics up. Throws UNKNOWN_TOPIC (also for internal ones), UNKNOWN_PARTITION, and
 * BAD_REQUEST when nothing is named or something is named twice.
 */
export async function openScopes(
  topics: Topics,
  wanted: readonly ReadTopic[],
  options: CallOptions,
): Promise<TopicScope[]> {
  if (wanted.length === 0) throw new GatewayError('BAD_REQUEST', 'No topic is named.')
  const scopes: TopicScope[] = []
  for (const { topic, partitions } of wanted) {
    if (scopes.some((scope) => scope.topic === topic)) {
      throw new GatewayError('BAD_REQUEST', `Topic '${topic}' is named twice.`)
    }
    scopes.push(toScope(await describe(topics, topic, options), partitions))
  }
  return scopes
}

async function describe(
  topics: Topics,
  name: string,
  options: CallOptions,
): Promise<TopicDescription> {
  if (!isInternalTopic(name)) {
    // Engines with remote metadata may not have heard of it yet, so the second look asks.
    const found = topics.known(name) ?? (await topics.list([name], options))[0]
    if (found !== undefined && !found.internal) return found
  }
  throw new GatewayError('UNKNOWN_TOPIC', `Topic '${name}' does not exist.`)
}

function toScope(topic: TopicDescription, wanted: readonly number[] | undefined): TopicScope {
  const all = topic.partitions.map(({ id }) => id).sort((left, right) => left - right)
  const base = { topic: topic.name, epoch: topic.id, partitionCount: all.length }
  if (wanted === undefined) return { ...base, partitions: all, whole: true }
  if (wanted.length === 0) {
    throw new GatewayError('BAD_REQUEST', `No partition of topic '${topic.name}' is named.`)
  }
  const known = new Set(all)
  for (const partition of wanted) {
    if (!known.has(partition)) {
      throw new GatewayError(
        'UNKNOWN_PARTITION',
        `Topic '${topic.name}' has no partition ${partition}; it has ${all.length}.`,
      )
    }
  }
  const partitions = [...new Set(wanted)].sort((left, right) => left - right)
  if (partitions.length !== wanted.length) {
    throw new GatewayError('BAD_REQUEST', `A partition of topic '${topic.name}' is named twice.`)
  }
  return { ...base, partitions, whole: false }
}

/**
 * The next offset of every partition for `from`. What lies outside the log is moved inside and told
 * as a gap, or thrown with `onGap` `fail`. `last:n` means n offsets before the end of each partition.
 * Throws BAD_REQUEST for a position that does not belong to this read.
 */
export async function resolveFrom(
  log: Log,
  topics: Topics,
  scopes: readonly TopicScope[],
  place: Place,
  onGap: OnGap,
  options: CallOptions,
): Promise<{ places: PartitionPlace[]; gaps: Gap[] }> {
  switch (place.at) {
    case 'earliest':
    case 'latest':
      return { places: await askOffsets(log, scopes, place.at, options), gaps: [] }
    case 'time':
      return { places: await askOffsets(log, scopes, { time: place.time }, options), gaps: [] }
    case 'last': {
      const [starts, ends] = await askBounds(log, scopes, options)
      const places = ends.map((end, i) => {
        return { ...end, offset: Math.max(starts[i]!.offset, end.offset - place.count) }
      })
      return { places, gaps: [] }
    }
    case 'offset':
    case 'position': {
      const wanted =
        place.at === 'offset'
          ? singleOffset(scopes, place.offset)
          : await matchPosition(topics, scopes, place.position, options)
      return await intoTheLog(log, scopes, wanted, onGap, options)
    }
  }
}

/**
 * The exclusive end of every partition for `until`. A partition that a position does not name was
 * born after it, so nothing of it is read. Throws BAD_REQUEST for `last:n` and for a position that
 * does not belong to this read, EPOCH_MISMATCH for one of a topic that was made again.
 */
export async function resolveUntil(
  log: Log,
  topics: Topics,
  scopes: readonly TopicScope[],
  place: Place,
  options: CallOptions,
): Promise<PartitionPlace[]> {
  switch (place.at) {
    case 'earliest':
    case 'latest':
      return await askOffsets(log, scopes, place.at, options)
    case 'time':
      return await askOffsets(log, scopes, { time: place.time }, options)
    case 'last':
      throw new GatewayError('BAD_REQUEST', `'last:${place.count}' is for 'from' only.`)
    case 'offset': {
      const wanted = singleOffset(scopes, place.offset)
      return placesOf(scopes).map((at) => ({ ...at, offset: wanted.offsetOf(at) ?? 0 }))
    }
    case 'position': {
      const wanted = await matchPosition(topics, scopes, place.position, options)
      for (const { topic, epoch } of scopes) {
        if (!wanted.recreated.has(topic)) continue
        throw gapError({ topic, epoch, partition: 0, from: 0, to: 0, why: 'recreated' })
      }
      return placesOf(scopes).map((at) => ({ ...at, offset: wanted.offsetOf(at) ?? 0 }))
    }
  }
}

/** The position that says where these partitions stand. */
export function toPosition(places: Iterable<PartitionPlace>): Position {
  const byEpoch = new Map<string, Map<number, Offset>>()
  for (const { tp, epoch, offset } of places) {
    const offsets = byEpoch.get(epoch) ?? new Map<number, Offset>()
    byEpoch.set(epoch, offsets.set(tp.partition, offset))
  }
  return [...byEpoch].map(([epoch, offsets]) => ({ epoch, offsets }))
}

interface PartitionOfScope {
  readonly tp: TopicPartition
  readonly epoch: string
}

/** Where a caller wants to start, before that is compared with what the log has. */
interface Wanted {
  /** Undefined: at the log start. */
  offsetOf(at: PartitionOfScope): Offset | undefined
  /** Topics that may have been made again since the position was taken. */
  readonly recreated: ReadonlySet<string>
}

function singleOffset(scopes: readonly TopicScope[], offset: Offset): Wanted {
  const count = scopes.reduce((sum, { partitions }) => sum + partitions.length, 0)
  if (count !== 1) {
    throw new GatewayError(
      'BAD_REQUEST',
      `'offset:${offset}' needs exactly one topic and partition; this read covers ${count} partitions.`,
    )
  }
  return { offsetOf: () => offset, recreated: new Set() }
}

/**
 * Positions name topics by id alone. An id that no topic of the read has belongs either to another
 * topic, which is refused, or to one that is gone; then the topics of the read that the position
 * does not name may be its successors, and their readers are told so.
 */
async function matchPosition(
  topics: Topics,
  scopes: readonly TopicScope[],
  position: Position,
  options: CallOptions,
): Promise<Wanted> {
  const parts = new Map(position.map((part) => [part.epoch, part]))
  const unnamed: TopicScope[] = []
  for (const scope of scopes) {
    const part = parts.get(scope.epoch)
    if (part === undefined) unnamed.push(scope)
    else refuseForeignPartitions(scope, part)
    parts.delete(scope.epoch)
  }
  if (parts.size > 0) {
    const existing = (await topics.list('all', options)).find(({ id }) => parts.has(id))
    if (existing !== undefined && !existing.internal) {
      throw new GatewayError(
        'BAD_REQUEST',
        `The position names topic '${existing.name}', which this read does not cover.`,
      )
    }
    if (parts.size > unnamed.length) {
      throw new GatewayError(
        'BAD_REQUEST',
        `The position names a topic that this read does not cover (epoch ${[...parts.keys()][0]}).`,
      )
    }
  }
  const byEpoch = new Map<string, ReadonlyMap<number, Offset>>(
    position.map(({ epoch, offsets }) => [epoch, offsets]),
  )
  return {
    offsetOf: ({ tp, epoch }) => byEpoch.get(epoch)?.get(tp.partition),
    recreated: new Set(parts.size > 0 ? unnamed.map(({ topic }) => topic) : []),
  }
}

function refuseForeignPartitions(scope: TopicScope, part: TopicPosition): void {
  for (const partition of part.offsets.keys()) {
    if (partition < scope.partitionCount) continue
    throw new GatewayError(
      'BAD_REQUEST',
      `The position names partition ${partition} of topic '${scope.topic}', which has ${scope.partitionCount}.`,
    )
  }
}

async function intoTheLog(
  log: Log,
  scopes: readonly TopicScope[],
  wanted: Wanted,
  onGap: OnGap,
  options: CallOptions,
): Promise<{ places: PartitionPlace[]; gaps: Gap[] }> {
  const [starts, ends] = await askBounds(log, scopes, options)
  const gaps: Gap[] = []
  const places = starts.map((start, i): PartitionPlace => {
    const end = ends[i]!.offset
    const gap = startGap(start, end, wanted)
    if (gap === undefined) return { ...start, offset: wanted.offsetOf(start) ?? start.offset }
    if (onGap === 'fail') throw gapError(gap)
    gaps.push(gap)
    return { ...start, offset: gap.to }
  })
  return { places, gaps }
}

function startGap(start: PartitionPlace, end: Offset, wanted: Wanted): Gap | undefined {
  const { tp, epoch } = start
  const at = { topic: tp.topic, epoch, partition: tp.partition }
  if (wanted.recreated.has(tp.topic)) {
    return { ...at, from: 0, to: start.offset, why: 'recreated' }
  }
  const from = wanted.offsetOf(start)
  if (from === undefined) return undefined
  if (from < start.offset) return { ...at, from, to: start.offset, why: 'retention' }
  if (from > end) return { ...at, from, to: end, why: 'trimmed' }
  return undefined
}

function placesOf(scopes: readonly TopicScope[]): PartitionOfScope[] {
  return scopes.flatMap(({ topic, epoch, partitions }) =>
    partitions.map((partition) => ({ tp: { topic, partition }, epoch })),
  )
}

async function askOffsets(
  log: Log,
  scopes: readonly TopicScope[],
  at: OffsetWord,
  options: CallOptions,
): Promise<PartitionPlace[]> {
  const places = placesOf(scopes)
  const answers = await log.offsets(
    places.map(({ tp }) => ({ tp, at })),
    options,
  )
  return places.map((place, i) => {
    const { offset, error } = answers[i]!
    if (error !== undefined) throw error
    return { ...place, offset }
  })
}

/** Log starts and readable ends, asked in one call so that they belong together. */
export async function askBounds(
  log: Log,
  scopes: readonly TopicScope[],
  options: CallOptions,
): Promise<[starts: PartitionPlace[], ends: PartitionPlace[]]> {
  const places = placesOf(scopes)
  const answers = await log.offsets(
    places.flatMap(({ tp }) => [
      { tp, at: 'earliest' as const },
      { tp, at: 'latest' as const },
    ]),
    options,
  )
  const placeOf = (i: number, shift: number): PartitionPlace => {
    const { offset, error } = answers[2 * i + shift]!
    if (error !== undefined) throw error
    return { ...places[i]!, offset }
  }
  return [places.map((_, i) => placeOf(i, 0)), places.map((_, i) => placeOf(i, 1))]
}
