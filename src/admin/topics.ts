/** Topics as people manage them: list, describe, create, change, trim, delete. Internal ones do not exist here. */
import type { CallOptions } from '../engine/call.ts'
import type { Log, OffsetWord } from '../engine/log.ts'
import type {
  ConfigChange,
  ConfigEntry,
  DryRun,
  PartitionDescription,
  TopicDescription,
  Topics,
} from '../engine/topics.ts'
import { GatewayError } from '../model/errors.ts'
import { adminTimeoutMs, listLimitDefault } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { Place } from '../model/place.ts'
import type { Position } from '../model/position.ts'
import type { Principal } from '../model/principal.ts'
import { isInternalTopic, isTopicName } from '../model/topic.ts'

export interface TopicPage {
  readonly topics: readonly TopicDescription[]
  /** What `after` takes to go on; null behind the last topic. */
  readonly next: string | null
}

export interface PartitionFacts extends PartitionDescription {
  readonly start: Offset
  readonly end: Offset
}

export interface TopicConfig {
  readonly name: string
  readonly value: string | null
  /** Set on this topic, not taken from a default. */
  readonly own: boolean
}

export interface TopicFacts {
  readonly name: string
  readonly id: string
  readonly replicationFactor: number
  readonly configs: readonly TopicConfig[]
  readonly partitions: readonly PartitionFacts[]
}

export interface TopicWish {
  readonly name: string
  readonly partitions: number
  readonly replicationFactor?: number
  readonly configs?: Readonly<Record<string, string>>
  /** A name that is taken is no error. */
  readonly ifNotExists: boolean
}

export interface TopicChange {
  /** The new total. */
  readonly partitions?: number
  /** Null gives the default back. */
  readonly configs?: Readonly<Record<string, string | null>>
  /** Everything is checked and nothing changed. */
  readonly validateOnly: boolean
}

export interface TopicAdminParts {
  readonly topics: Topics
  readonly log: Log
}

const call: CallOptions = { timeoutMs: adminTimeoutMs }

export class TopicAdmin {
  readonly #topics: Topics
  readonly #log: Log

  constructor({ topics, log }: TopicAdminParts) {
    this.#topics = topics
    this.#log = log
  }

  /** Topics ordered by name, at most `limit` of them, behind the one that `after` names. */
  async list(
    principal: Principal,
    { limit = listLimitDefault, after }: { readonly limit?: number; readonly after?: string } = {},
  ): Promise<TopicPage> {
    const all = await this.all(principal)
    const visible = after === undefined ? all : all.filter(({ name }) => name > after)
    const topics = visible.slice(0, limit)
    return { topics, next: visible.length > limit ? topics.at(-1)!.name : null }
  }

  /** Every name, unordered. */
  async names(_principal: Principal): Promise<string[]> {
    const all = await this.#topics.list('all', call)
    return all.filter(({ name }) => !isInternalTopic(name)).map(({ name }) => name)
  }

  /** Throws UNKNOWN_TOPIC. */
  async exists(_principal: Principal, name: string): Promise<void> {
    await this.#find(name)
  }

  /** The topic with its configuration and the ends of its partitions. Throws UNKNOWN_TOPIC. */
  async describe(_principal: Principal, name: string): Promise<TopicFacts> {
    return await this.#facts(await this.#find(name))
  }

  /**
   * Throws TOPIC_EXISTS, INVALID_CONFIG for a setting the engine does not take, INVALID_REQUEST for a
   * name that is kept for the gateway.
   */
  async create(
    _principal: Principal,
    wish: TopicWish,
  ): Promise<{ readonly topic: TopicFacts; readonly created: boolean }> {
    const error = await this.#make(wish, call)
    if (error !== undefined && !(wish.ifNotExists && error.code === 'TOPIC_EXISTS')) throw error
    return { topic: await this.#facts(await this.#find(wish.name)), created: error === undefined }
  }

  /** Throws what `create` would throw, and makes nothing. */
  async checkCreate(_principal: Principal, wish: TopicWish): Promise<void> {
    const error = await this.#make(wish, { ...call, validateOnly: true })
    if (error !== undefined) throw error
  }

  /** Resolves to what the engine says against it. */
  async #make(
    { name, partitions, replicationFactor, configs }: TopicWish,
    options: CallOptions & DryRun,
  ): Promise<GatewayError | undefined> {
    if (!isTopicName(name)) {
      throw new GatewayError(
        'BAD_REQUEST',
        'A topic name has 1 to 249 characters of [A-Za-z0-9._-], and is neither . nor ..',
      )
    }
    if (isInternalTopic(name)) {
      throw new GatewayError('INVALID_REQUEST', `Names that begin with '__' are the gateway's own.`)
    }
    const [outcome] = await this.#topics.create(
      [
        {
          name,
          partitions,
          ...(replicationFactor === undefined ? {} : { replicas: replicationFactor }),
          ...(configs === undefined ? {} : { config: configs }),
        },
      ],
      options,
    )
    return outcome?.error
  }

  /**
   * Changes settings and adds partitions, and resolves to the topic as it is then. Both are checked
   * before either is changed. Throws UNKNOWN_TOPIC, INVALID_CONFIG; INVALID_REQUEST for fewer
   * partitions than there are; BAD_REQUEST when nothing is to be changed.
   */
  async alter(_principal: Principal, name: string, change: TopicChange): Promise<TopicFacts> {
    const topic = await this.#find(name)
    const changes = Object.entries(change.configs ?? {}).map(([setting, value]): ConfigChange =>
      value === null ? { op: 'delete', name: setting } : { op: 'set', name: setting, value },
    )
    if (changes.length === 0 && change.partitions === undefined) {
      throw new GatewayError(
        'BAD_REQUEST',
        `Nothing is to be changed: name 'partitions' or 'configs'.`,
      )
    }
    // The present number is what a repeated request asks for.
    const grown = change.partitions === topic.partitions.length ? undefined : change.partitions
    const checkOnly = { ...call, validateOnly: true }
    await this.#alterConfigs(name, changes, checkOnly)
    await this.#grow(name, grown, checkOnly)
    if (!change.validateOnly) {
      await this.#alterConfigs(name, changes, call)
      await this.#grow(name, grown, call)
    }
    return await this.#facts(await this.#find(name))
  }

  /**
   * Moves the start of every partition up to a place and resolves to the starts. Throws UNKNOWN_TOPIC;
   * BAD_REQUEST for a place that does not name all partitions at once; OFFSET_OUT_OF_RANGE for one
   * beyond an end, and then nothing was deleted; EPOCH_MISMATCH for a position of another topic.
   */
  async deleteRecords(
    _principal: Principal,
    name: string,
    place: Place,
  ): Promise<ReadonlyMap<number, Offset>> {
    const topic = await this.#find(name)
    const [wanted, ends] = await Promise.all([
      this.#resolve(topic, place, 'before'),
      this.#word(topic, 'latest'),
    ])
    for (const [partition, offset] of wanted) {
      const end = ends.get(partition)
      if (end === undefined) throw noPartition(topic, partition)
      if (offset > end) {
        throw new GatewayError(
          'OFFSET_OUT_OF_RANGE',
          `Partition ${partition} of topic '${name}' ends at offset ${end}, so nothing can be deleted before ${offset}.`,
        )
      }
    }
    const before = [...wanted].map(([partition, offset]) => ({
      tp: { topic: name, partition },
      before: offset,
    }))
    const starts = new Map<number, Offset>()
    for (const { tp, logStart, error } of await this.#log.deleteRecords(before, call)) {
      if (error !== undefined) throw error
      starts.set(tp.partition, logStart)
    }
    return starts
  }

  /** Deletes the topic, its records and its committed offsets. Throws UNKNOWN_TOPIC. */
  async delete(_principal: Principal, name: string): Promise<void> {
    await this.#find(name)
    const [outcome] = await this.#topics.delete([name], call)
    if (outcome?.error !== undefined) throw outcome.error
  }

  /**
   * Where a place is in every partition. Throws UNKNOWN_TOPIC; BAD_REQUEST for a place that does not
   * name all partitions at once; EPOCH_MISMATCH for a position of another topic.
   */
  async offsets(
    _principal: Principal,
    name: string,
    place: Place,
  ): Promise<{ readonly offsets: ReadonlyMap<number, Offset>; readonly position: Position }> {
    const topic = await this.#find(name)
    const offsets = await this.#resolve(topic, place, 'at')
    return { offsets, position: [{ epoch: topic.id, offsets }] }
  }

  /** Start and end of one partition. Throws UNKNOWN_TOPIC, UNKNOWN_PARTITION. */
  async partitionEnds(
    principal: Principal,
    name: string,
    partition: number,
  ): Promise<{ readonly start: Offset; readonly end: Offset }> {
    const { partitions } = await this.describe(principal, name)
    const found = partitions.find(({ id }) => id === partition)
    if (found === undefined) {
      throw noPartition({ name, partitions }, partition)
    }
    return { start: found.start, end: found.end }
  }

  /** All settings of a topic, with where they come from. Throws UNKNOWN_TOPIC. */
  async configs(_principal: Principal, name: string): Promise<readonly ConfigEntry[]> {
    await this.#find(name)
    return await this.#topics.configs({ type: 'topic', name }, call)
  }

  /** What a topic has that says nothing itself. */
  async defaultConfigs(_principal: Principal): Promise<readonly ConfigEntry[]> {
    return await this.#topics.configs({ type: 'new-topic' }, call)
  }

  /** Every topic without its configuration and ends, ordered by name. */
  async all(_principal: Principal): Promise<readonly TopicDescription[]> {
    const all = await this.#topics.list('all', call)
    return all
      .filter(({ name }) => !isInternalTopic(name))
      .sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  /** One topic without its configuration and ends. Throws UNKNOWN_TOPIC. */
  async find(_principal: Principal, name: string): Promise<TopicDescription> {
    return await this.#find(name)
  }

  /** Ids of the nodes behind the engine. */
  async brokers(_principal: Principal): Promise<number[]> {
    return (await this.#topics.cluster(call)).nodes.map(({ id }) => id)
  }

  async #alterConfigs(
    name: string,
    changes: readonly ConfigChange[],
    options: CallOptions & DryRun,
  ): Promise<void> {
    if (changes.length === 0) return
    await this.#topics.alterConfigs({ type: 'topic', name }, changes, options)
  }

  async #grow(
    name: string,
    partitions: number | undefined,
    options: CallOptions & DryRun,
  ): Promise<void> {
    if (partitions === undefined) return
    const [outcome] = await this.#topics.grow([{ name, partitions }], options)
    if (outcome?.error !== undefined) throw outcome.error
  }

  async #find(name: string): Promise<TopicDescription> {
    const [topic] = isInternalTopic(name) ? [] : await this.#topics.list([name], call)
    if (topic === undefined) {
      throw new GatewayError('UNKNOWN_TOPIC', `Topic '${shown(name)}' does not exist.`)
    }
    return topic
  }

  async #facts(topic: TopicDescription): Promise<TopicFacts> {
    const [configs, starts, ends] = await Promise.all([
      this.#topics.configs({ type: 'topic', name: topic.name }, call),
      this.#word(topic, 'earliest'),
      this.#word(topic, 'latest'),
    ])
    return {
      name: topic.name,
      id: topic.id,
      replicationFactor: Math.max(1, topic.partitions[0]?.replicas.length ?? 1),
      configs: configs
        .filter(({ sensitive }) => !sensitive)
        .map(({ name, value, source }) => ({ name, value, own: source === 'topic' })),
      partitions: topic.partitions.map((partition) => ({
        ...partition,
        start: starts.get(partition.id) ?? 0,
        end: ends.get(partition.id) ?? 0,
      })),
    }
  }

  /** `field` is where the place was named. An offset names a place where there is one partition. */
  async #resolve(
    topic: TopicDescription,
    place: Place,
    field: 'at' | 'before',
  ): Promise<ReadonlyMap<number, Offset>> {
    switch (place.at) {
      case 'earliest':
      case 'latest':
        return await this.#word(topic, place.at)
      case 'time':
        return await this.#word(topic, { time: place.time })
      case 'position': {
        const [part, ...others] = place.position
        if (part?.epoch !== topic.id || others.length > 0) {
          throw new GatewayError(
            'EPOCH_MISMATCH',
            `The position is not one of topic '${topic.name}' as it is now.`,
          )
        }
        // A partition that the position does not name was born after it.
        return new Map([...(await this.#word(topic, 'earliest')), ...part.offsets])
      }
      case 'offset':
        if (field === 'before' && topic.partitions.length === 1) return new Map([[0, place.offset]])
        break
      case 'last':
        break
    }
    throw new GatewayError(
      'BAD_REQUEST',
      `'${field}' names a place in all partitions: earliest, latest, time:<ms or ISO 8601>, or a position.`,
    )
  }

  async #word(topic: TopicDescription, at: OffsetWord): Promise<Map<number, Offset>> {
    const queries = topic.partitions.map(({ id }) => ({
      tp: { topic: topic.name, partition: id },
      at,
    }))
    const found = new Map<number, Offset>()
    for (const { tp, offset, error } of await this.#log.offsets(queries, call)) {
      if (error !== undefined) throw error
      found.set(tp.partition, offset)
    }
    return found
  }
}

function noPartition(
  { name, partitions }: Pick<TopicDescription, 'name' | 'partitions'>,
  partition: number,
): GatewayError {
  return new GatewayError(
    'UNKNOWN_PARTITION',
    `Topic '${name}' has ${partitions.length} partitions, but not partition ${partition}.`,
  )
}

/** Names come from URLs, so they may be anything. */
function shown(name: string): string {
  return name.length > 100 ? `${name.slice(0, 100)}…` : name
}
