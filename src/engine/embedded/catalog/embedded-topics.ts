/** The topics role of the embedded engine: checks, journal, folders, and what is shown when. */
import type { Clock } from '../../../kit/clock.ts'
import { pause } from '../../../kit/clock.ts'
import { withDeadline } from '../../../kit/deadline.ts'
import type { Logger } from '../../../kit/logger.ts'
import type { Random } from '../../../kit/random.ts'
import { randomId } from '../../../kit/random.ts'
import { GatewayError, toGatewayError } from '../../../model/errors.ts'
import { partitionsMax, partitionsPerTopicMax } from '../../../model/limits.ts'
import type { Offset } from '../../../model/offset.ts'
import { isInternalTopic, isTopicName } from '../../../model/topic.ts'
import type { CallOptions, Watch } from '../../call.ts'
import type {
  ClusterDescription,
  ConfigChange,
  ConfigEntry,
  ConfigOwner,
  DryRun,
  NewTopic,
  Outcome,
  TopicDescription,
  Topics,
} from '../../topics.ts'
import { isPassing } from '../disk/disk.ts'
import type { Journal } from '../journal/journal.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { Partitions } from '../log/partitions.ts'
import type { CatalogTopic, TopicCatalog } from './topic-catalog.ts'
import { changedConfig, checkConfig, compressionOf, configEntries } from './topic-config.ts'

const nodeId = 1
const topicIdBytes = 16
const retryMs = 1000
/** What one change of the catalog adds to the journal at most, about, bytes. */
const changeBytes = 4096

export interface TopicsParts {
  readonly catalog: TopicCatalog
  readonly partitions: Partitions
  readonly journal: Journal
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly refusal: () => GatewayError | undefined
  /** The same for changes: a damaged journal may be read and not written. */
  readonly writeRefusal: () => GatewayError | undefined
  /** Settings of the whole engine, shown and not changeable. */
  readonly engineConfig: Readonly<Record<string, string>>
  readonly clusterId: () => string
  readonly onFailure: (cause: unknown) => void
}

interface TopicView {
  readonly description: TopicDescription
  readonly logs: readonly PartitionLog[]
}

export class EmbeddedTopics implements Topics {
  readonly #parts: TopicsParts
  /** Durable topics, as callers see them. */
  readonly #shown = new Map<string, TopicDescription>()
  /** Deletes whose folders are not renamed yet: a namesake waits for them. */
  readonly #deleting = new Map<string, Promise<void>>()
  /** Folders being made: a delete waits for them. */
  readonly #making = new Map<string, Promise<void>>()
  /** Calls that are under way, whether or not somebody still waits for their answers. */
  readonly #working = new Set<Promise<void>>()
  readonly #watchers = new Set<() => void>()
  #hintIsDue = false
  #closed = false

  constructor(parts: TopicsParts) {
    this.#parts = parts
  }

  /** After recovery everything in the catalog is durable. */
  open(): void {
    // This comes before the engine is open, so the journal alone is asked.
    const isWritable = this.#parts.journal.damage === undefined
    for (const topic of this.#parts.catalog.all()) {
      for (const log of topic.logs) {
        log.logStart = log.plannedLogStart
        // A crash may have come between the log start and the removal of files.
        if (isWritable && log.expired().length > 0) this.#parts.partitions.removal.sweep(log)
      }
      this.#show(this.#viewOf(topic))
    }
    this.#parts.partitions.folders.removeDoomed()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#watchers.clear()
    await Promise.allSettled(this.#working)
    await this.#parts.partitions.folders.close()
  }

  known(name: string): TopicDescription | undefined {
    return this.#shown.get(name)
  }

  list(names: readonly string[] | 'all', _options: CallOptions): Promise<TopicDescription[]> {
    const refusal = this.#parts.refusal()
    if (refusal !== undefined) return Promise.reject(refusal)
    const wanted = names === 'all' ? [...this.#shown.keys()] : [...new Set(names)]
    const found: TopicDescription[] = []
    for (const name of wanted) {
      const known = this.#shown.get(name)
      const logs = this.#parts.partitions.shown(name)
      if (known !== undefined && logs !== undefined) found.push(withSizes(known, logs))
    }
    return Promise.resolve(found)
  }

  create(topics: readonly NewTopic[], options: CallOptions & DryRun): Promise<Outcome[]> {
    return this.#each(topics, options, (topic) => this.#create(topic, options))
  }

  delete(names: readonly string[], options: CallOptions): Promise<Outcome[]> {
    return this.#each(
      names.map((name) => ({ name })),
      options,
      ({ name }) => this.#delete(name),
    )
  }

  grow(
    topics: readonly { readonly name: string; readonly partitions: number }[],
    options: CallOptions & DryRun,
  ): Promise<Outcome[]> {
    return this.#each(topics, options, (topic) => this.#grow(topic, options))
  }

  async configs(of: ConfigOwner, _options: CallOptions): Promise<ConfigEntry[]> {
    const refusal = this.#parts.refusal()
    if (refusal !== undefined) throw refusal
    if (of.type === 'engine') {
      return Object.entries(this.#parts.engineConfig).map(([name, value]) => ({
        name,
        value,
        fallback: null,
        source: 'engine',
        readOnly: true,
        sensitive: false,
      }))
    }
    if (of.type === 'new-topic') return configEntries({})
    const topic = this.#parts.catalog.byName(of.name)
    const entries = topic === undefined ? [] : configEntries(topic.config)
    await this.#parts.journal.settled()
    if (topic === undefined) throw unknownTopic(of.name)
    return entries
  }

  async alterConfigs(
    of: ConfigOwner,
    changes: readonly ConfigChange[],
    options: CallOptions & DryRun,
  ): Promise<void> {
    if (of.type !== 'topic') {
      throw new GatewayError(
        'INVALID_CONFIG',
        'The settings of the engine are fixed while it runs.',
      )
    }
    const { name } = of
    const [outcome] = await this.#each([{ name }], options, () =>
      this.#alter(name, changes, options),
    )
    if (outcome?.error !== undefined) throw outcome.error
  }

  cluster(_options: CallOptions): Promise<ClusterDescription> {
    const clusterId = this.#parts.clusterId()
    return Promise.resolve({ clusterId, controller: nodeId, nodes: [{ id: nodeId }] })
  }

  watch(onChange: () => void): Watch {
    // Wrapped, so that the same function may be registered twice.
    const watcher = (): void => onChange()
    this.#watchers.add(watcher)
    return { close: () => void this.#watchers.delete(watcher) }
  }

  /** Moves a log start; shown when it is durable. */
  async moveLogStart(log: PartitionLog, before: Offset, timeoutMs: number): Promise<void> {
    const { catalog, journal } = this.#parts
    const { topicId: id, tp } = log
    const refusal = this.#parts.writeRefusal()
    if (refusal !== undefined) throw refusal
    if (log.deleted) throw unknownTopic(tp.topic)
    this.#checkJournal()
    const entry = catalog.change({ op: 'logStart', id, partition: tp.partition, offset: before })
    const written = journal.write([entry], Infinity).then(() => {
      log.logStart = Math.max(log.logStart, before)
      this.#parts.partitions.watchers.wake(tp, log.readableEnd)
      this.#parts.partitions.removal.sweep(log)
    })
    await withDeadline(this.#parts.clock, written, { timeoutMs }, timedOut)
  }

  /** Notes how far a partition was compacted; what a crash takes of it is compacted again. */
  async noteCompacted(log: PartitionLog, end: Offset, tombstonesDueMs: number): Promise<void> {
    if (log.deleted) return
    const dueMs = Number.isFinite(tombstonesDueMs) ? tombstonesDueMs : null
    const { topicId: id, tp } = log
    const change = {
      op: 'compacted',
      id,
      partition: tp.partition,
      end,
      tombstonesDueMs: dueMs,
    } as const
    await this.#parts.journal.write([this.#parts.catalog.change(change)], Infinity)
  }

  async #create(topic: NewTopic, options: DryRun): Promise<void> {
    checkNewTopic(topic)
    const { name, partitions, config = {} } = topic
    for (;;) {
      const deleting = this.#deleting.get(name)
      if (deleting === undefined) break
      await deleting
      const refusal = this.#parts.refusal()
      if (refusal !== undefined) throw refusal
    }
    // From here to the write there is no await: the check holds for what is written.
    const { catalog, journal } = this.#parts
    if (catalog.byName(name) !== undefined) {
      throw new GatewayError('TOPIC_EXISTS', `Topic '${name}' exists already.`)
    }
    const collision = catalog.collision(name)
    if (collision !== undefined) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `Topic '${name}' collides with '${collision}': names may not differ in '.' and '_' alone.`,
      )
    }
    this.#checkRoom(partitions)
    if (options.validateOnly === true) return
    this.#checkJournal()
    const id = this.#newTopicId()
    const firstRef = catalog.nextRef
    const entry = catalog.change({ op: 'create', name, id, firstRef, partitions, config })
    const made = catalog.byId(id)!
    const view = this.#viewOf(made)
    await journal.write([entry], Infinity)
    this.#show(view)
    await this.#makeFolders(made, view.logs)
  }

  async #grow(
    { name, partitions }: { readonly name: string; readonly partitions: number },
    options: DryRun,
  ): Promise<void> {
    const { catalog, journal } = this.#parts
    const topic = this.#existing(name)
    const present = topic.logs.length
    checkPartitions(name, partitions)
    if (partitions <= present) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `Topic '${name}' has ${present} partitions already; the new total was ${partitions}.`,
      )
    }
    this.#checkRoom(partitions - present)
    if (options.validateOnly === true) return
    this.#checkJournal()
    const entry = catalog.change({
      op: 'grow',
      id: topic.id,
      firstRef: catalog.nextRef,
      partitions: partitions - present,
    })
    const added = topic.logs.slice(present)
    const view = this.#viewOf(topic)
    await journal.write([entry], Infinity)
    if (catalog.byId(topic.id) !== undefined) this.#show(view)
    await this.#makeFolders(topic, added)
  }

  async #alter(name: string, changes: readonly ConfigChange[], options: DryRun): Promise<void> {
    const { catalog, journal } = this.#parts
    const topic = this.#existing(name)
    const config = changedConfig(topic.config, changes)
    if (options.validateOnly === true) return
    this.#checkJournal()
    const entry = catalog.change({ op: 'config', id: topic.id, config })
    const view = this.#viewOf(topic)
    await journal.write([entry], Infinity)
    if (catalog.byId(topic.id) !== undefined) this.#show(view)
  }

  async #delete(name: string): Promise<void> {
    const topic = this.#existing(name)
    const { catalog, journal } = this.#parts
    this.#checkJournal()
    const written = journal.write([catalog.change({ op: 'delete', id: topic.id })], Infinity)
    const done = written.then(() => this.#removeFolders(topic))
    const settled = done.then(
      () => undefined,
      () => undefined,
    )
    this.#deleting.set(name, settled)
    try {
      await done
    } finally {
      if (this.#deleting.get(name) === settled) this.#deleting.delete(name)
    }
  }

  /** Before a change is applied: the journal must have room for it. */
  #checkJournal(): void {
    const refusal = this.#parts.journal.refusal(changeBytes)
    if (refusal !== undefined) throw refusal
  }

  async #removeFolders(topic: CatalogTopic): Promise<void> {
    const { partitions } = this.#parts
    this.#shown.delete(topic.name)
    partitions.hide(topic.name)
    this.#hint()
    await this.#making.get(topic.id)
    for (const log of topic.logs) await partitions.drop(log)
    await this.#persist(() => partitions.folders.doom(topic.logs))
  }

  /** Batches may come before the folder is there: they wait in memory. */
  async #makeFolders(topic: CatalogTopic, logs: readonly PartitionLog[]): Promise<void> {
    const { partitions } = this.#parts
    const before = this.#making.get(topic.id)
    const making = (async () => {
      await before
      await this.#persist(() => partitions.folders.make(logs))
      partitions.ready(logs)
    })()
    this.#making.set(topic.id, making)
    try {
      await making
    } finally {
      if (this.#making.get(topic.id) === making) this.#making.delete(topic.id)
    }
  }

  /** Repeats work on folders while the disk is full; another failure ends the engine. */
  async #persist(work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await work()
        return
      } catch (error) {
        if (!isPassing(error)) {
          this.#parts.onFailure(error)
          throw new GatewayError('IO_ERROR', 'The disk failed while a topic was changed.', {
            cause: error,
          })
        }
        if (this.#closed)
          throw new GatewayError('DISK_FULL', 'The disk is full.', { applied: 'maybe' })
        this.#parts.logger.warn({ err: error }, 'Folders of a topic wait for space on the disk.')
        await pause(this.#parts.clock, retryMs)
      }
    }
  }

  /** One call with several items: each has its own outcome, all share the deadline. */
  async #each<T extends { readonly name: string }>(
    items: readonly T[],
    options: CallOptions,
    work: (item: T) => Promise<void>,
  ): Promise<Outcome[]> {
    const refusal = this.#parts.writeRefusal()
    if (refusal !== undefined) throw refusal
    return Promise.all(
      items.map(async (item): Promise<Outcome> => {
        try {
          await withDeadline(this.#parts.clock, this.#tracked(work(item)), options, timedOut)
          return { name: item.name }
        } catch (error) {
          return { name: item.name, error: toGatewayError(error) }
        }
      }),
    )
  }

  /** The call as its caller sees it; the end of the engine waits for the work itself. */
  #tracked(work: Promise<void>): Promise<void> {
    this.#working.add(work)
    const done = (): void => void this.#working.delete(work)
    work.then(done, done)
    return this.#decided(work)
  }

  /** A refusal may rest on what is not durable yet: it waits for that, like every answer. */
  async #decided(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (error instanceof GatewayError && error.applied === 'no')
        await this.#parts.journal.settled()
      throw error
    }
  }

  #existing(name: string): CatalogTopic {
    const topic = this.#parts.catalog.byName(name)
    if (topic === undefined) throw unknownTopic(name)
    return topic
  }

  #checkRoom(added: number): void {
    const total = this.#parts.catalog.partitionCount + added
    if (total > partitionsMax) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `The engine would have ${total} partitions; its limit is ${partitionsMax}.`,
      )
    }
  }

  /** Kafka's shell tools take an id that begins with `-` for an option. */
  #newTopicId(): string {
    for (;;) {
      const id = randomId(this.#parts.random, topicIdBytes)
      if (!id.startsWith('-') && this.#parts.catalog.byId(id) === undefined) return id
    }
  }

  /** The topic as a change leaves it: taken with the change, shown when that is durable. */
  #viewOf(topic: CatalogTopic): TopicView {
    const leaderEpoch = this.#parts.partitions.generation
    const compression = compressionOf(topic.config)
    const description: TopicDescription = {
      name: topic.name,
      id: topic.id,
      internal: isInternalTopic(topic.name),
      maxBatchBytes: topic.settings.messageBytesMax,
      needsKeys: topic.settings.compaction !== undefined,
      timestampBeforeMsMax: topic.settings.timestampBeforeMsMax,
      timestampAfterMsMax: topic.settings.timestampAfterMsMax,
      ...(compression === undefined ? {} : { compression }),
      partitions: topic.logs.map((log, id) => ({
        id,
        state: log.damage === undefined ? 'ok' : 'corrupt',
        leaderEpoch,
        leader: nodeId,
        replicas: [{ node: nodeId, inSync: true }],
      })),
    }
    return { description, logs: [...topic.logs] }
  }

  #show({ description, logs }: TopicView): void {
    this.#shown.set(description.name, description)
    this.#parts.partitions.show(description.name, logs)
    this.#hint()
  }

  #hint(): void {
    if (this.#hintIsDue) return
    this.#hintIsDue = true
    this.#parts.clock.soon(() => {
      this.#hintIsDue = false
      for (const watcher of [...this.#watchers]) {
        try {
          watcher()
        } catch (error) {
          this.#parts.logger.error({ err: error }, 'A watcher of the topics threw.')
        }
      }
    })
  }
}

function withSizes(known: TopicDescription, logs: readonly PartitionLog[]): TopicDescription {
  return {
    ...known,
    partitions: known.partitions.map((partition) => {
      const { bytes, damagedBatches } = logs[partition.id]!
      return { ...partition, bytes, damagedBatches }
    }),
  }
}

function checkNewTopic({ name, partitions, replicas, config }: NewTopic): void {
  if (!isTopicName(name)) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `'${name.slice(0, 80)}' is no topic name: 1 to 249 characters of A-Z a-z 0-9 . _ -, and not . or ..`,
    )
  }
  checkPartitions(name, partitions)
  if (replicas !== undefined && replicas !== 1) {
    throw new GatewayError(
      'INVALID_CONFIG',
      `Topic '${name}' cannot have ${replicas} replicas: this engine is one node.`,
    )
  }
  checkConfig(config ?? {})
}

function checkPartitions(name: string, partitions: number): void {
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= partitionsPerTopicMax) return
  throw new GatewayError(
    'INVALID_REQUEST',
    `Topic '${name}' cannot have ${partitions} partitions; 1 to ${partitionsPerTopicMax} are possible.`,
  )
}

function unknownTopic(name: string): GatewayError {
  return new GatewayError('UNKNOWN_TOPIC', `Topic '${name}' does not exist.`)
}

function timedOut(): GatewayError {
  return new GatewayError('TIMEOUT', 'The deadline passed before the change was complete.')
}
