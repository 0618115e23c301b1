/**
 * The embedded engine: our own log on the local disk, one process. This file plugs the rooms
 * together; what they promise stands in their own heads.
 */
import type { Clock } from '../../kit/clock.ts'
import type { Logger } from '../../kit/logger.ts'
import type { Random } from '../../kit/random.ts'
import { randomId } from '../../kit/random.ts'
import { usableCodecs } from '../../model/batch-codecs.ts'
import { GatewayError } from '../../model/errors.ts'
import {
  hotTailBytesMax,
  keysPerSpaceMax,
  openSegmentsMax,
  partitionsMax,
  transactBytesMax,
} from '../../model/limits.ts'
import type { Capabilities } from '../capabilities.ts'
import type { Engine, EngineHealth } from '../engine.ts'
import type { BackupPlace } from './disk/backup-place.ts'
import { EmbeddedBackups } from './backup/embedded-backups.ts'
import { EmbeddedTopics } from './catalog/embedded-topics.ts'
import { TopicCatalog } from './catalog/topic-catalog.ts'
import type { CompactionMeter } from './compaction/compactor.ts'
import { Compactor } from './compaction/compactor.ts'
import type { DirectoryLock } from './disk/directory-lock.ts'
import type { Disk } from './disk/disk.ts'
import type { SpaceState } from './disk/disk-space.ts'
import { DiskSpace } from './disk/disk-space.ts'
import { openMetaProperties } from './disk/meta-properties.ts'
import { GroupCoordinator } from './group/coordinator.ts'
import type { GroupCatalog, GroupTopic } from './group/group-catalog.ts'
import type { dropDamagedJournal } from './journal/damaged-journal.ts'
import type { JournalMeter } from './journal/journal.ts'
import type { JournalSizes } from './journal/journal-files.ts'
import { defaultSizes, Journal } from './journal/journal.ts'
import { EmbeddedLog } from './log/embedded-log.ts'
import { Partitions } from './log/partitions.ts'
import type { KeyMeter, KeyTopic } from './transaction/idempotency-keys.ts'
import { IdempotencyKeys, keyTopic } from './transaction/idempotency-keys.ts'
import { Retention } from './log/retention.ts'
import { EmbeddedTransactions } from './transaction/transact.ts'
import type { CatalogTopic } from './catalog/topic-catalog.ts'

/** What the engine reports; `app` plugs the metrics in. */
export interface EngineMeter extends JournalMeter, CompactionMeter, KeyMeter {
  damagedBatch(): void
  /** Segments went, by retention or because their records were deleted. */
  removed(segments: number, bytes: number): void
  /** Told every second. */
  space(report: SpaceReport): void
}

export interface SpaceReport {
  /** Undefined when the disk does not say. */
  readonly freeDiskBytes: number | undefined
  readonly disk: SpaceState
  /** Journal that cannot be used again yet. */
  readonly journalBytes: number
}

const silentMeter: EngineMeter = {
  journalWrite: () => undefined,
  checkpoint: () => undefined,
  recovered: () => undefined,
  damagedBatch: () => undefined,
  compacted: () => undefined,
  idempotencyKeys: () => undefined,
  idempotencyWindow: () => undefined,
  space: () => undefined,
  removed: () => undefined,
}

export interface EmbeddedEngineOptions {
  readonly disk: Disk
  /** Absent where only one engine can exist, as on a simulated disk. */
  readonly lock?: DirectoryLock
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** What is left out is not reported. */
  readonly meter?: Partial<EngineMeter>
  /** `journal` when sessions outlive the process, so that a restart is no rebalance. */
  readonly members: 'memory' | 'journal'
  /** The disk failed and nothing can be promised any more: the process should end (exit code 70). */
  readonly onFatal?: (cause: unknown) => void
  readonly hotTailBytes?: number
  /** Segment files kept open. */
  readonly openSegments?: number
  /** Idempotency keys that one space may have. */
  readonly keysPerSpace?: number
  readonly journalSizes?: JournalSizes
  /** Gives up, once, what stands behind damage in the journal; without it such a folder is read-only. */
  readonly recover?: typeof dropDamagedJournal
  /** Default: `compactionBytesPerSecond`. */
  readonly compactionBytesPerSecond?: number
  /** Memory of one round's map of keys; default: `compactionMapBytesMax`. */
  readonly compactionMapBytes?: number
  /** Checks a directory and begins a folder for a back-up in it. Absent: there is no backups role. */
  readonly backupPlace?: (directory: string) => Promise<BackupPlace>
}

/** The engine, and what tests and a back-up may ask of it beyond the port. */
export interface EmbeddedEngine extends Engine {
  readonly kind: 'embedded'
  /** Resolves when a checkpoint is complete. */
  checkpoint(): Promise<void>
  /** Compacts what is worth it now; it happens by itself too. */
  compact(): Promise<void>
  /** Resolves when retention has looked at every partition. */
  retain(): Promise<void>
}

/** Nothing happens before `open()`. */
export function createEmbeddedEngine(options: EmbeddedEngineOptions): EmbeddedEngine {
  return new Embedded(options)
}

/** What a round of compaction adds to the journal at most, bytes. */
const roundBytes = 1024
/** Small, because a segment goes only when all its keys have gone. */
const keySegmentBytes = 16 * 1024 * 1024

type Stage = 'new' | 'recovering' | 'open' | 'closing' | 'closed'

class Embedded implements EmbeddedEngine {
  readonly kind = 'embedded'
  readonly capabilities: Capabilities
  readonly log: EmbeddedLog
  readonly transactions: EmbeddedTransactions
  readonly groups: GroupCoordinator
  readonly topics: EmbeddedTopics
  readonly backups: EmbeddedBackups | undefined
  readonly #options: EmbeddedEngineOptions
  readonly #journal: Journal
  readonly #partitions: Partitions
  readonly #space: DiskSpace
  readonly #compactor: Compactor
  readonly #keys: IdempotencyKeys
  readonly #retention: Retention
  #stage: Stage = 'new'
  #clusterId = ''
  #failure: unknown
  #isFenced = false
  #closing: Promise<void> | undefined

  constructor(options: EmbeddedEngineOptions) {
    this.#options = options
    const { disk, clock, random, logger, members } = options
    const meter = { ...silentMeter, ...options.meter }
    this.capabilities = {
      durability: disk.durability,
      transactions: true,
      transactBytesMax,
      idempotencyKeys: 'exact',
      conditionalAppend: true,
      denseOffsets: true,
      groupHints: true,
      codecs: usableCodecs(),
      partitionsMax,
    }
    const refusal = (): GatewayError | undefined => this.#refusal()
    const onFailure = (cause: unknown): void => this.#journal.fence(cause)
    const hotTailBytes = options.hotTailBytes ?? hotTailBytesMax
    this.#partitions = new Partitions({
      disk,
      clock,
      logger,
      hotTailBytes,
      openSegments: options.openSegments ?? openSegmentsMax,
      onDiskFull: () => this.#space.noteFull(),
      onRoll: () => void this.#space.look(),
      onRemoved: (segments, bytes) => meter.removed(segments, bytes),
      onFailure,
    })
    this.#space = new DiskSpace({
      disk,
      clock,
      logger,
      isHeldBack: () => this.#partitions.waitsForSpace || this.#journal.waitsForSpace,
      onLow: () => this.#retention.runNow(),
      onAsked: () =>
        meter.space({
          freeDiskBytes: this.#space.freeBytes,
          disk: this.#space.state,
          journalBytes: this.#journal.heldBytes,
        }),
    })
    const catalog = new TopicCatalog(this.#partitions)
    this.groups = new GroupCoordinator({
      // The journal restores the coordinator's machines, so each needs the other.
      journal: {
        refusal: (bytes) => this.#journal.refusal(bytes),
        write: (entries, timeoutMs) => this.#journal.write(entries, timeoutMs),
        settled: (timeoutMs) => this.#journal.settled(timeoutMs),
        logTimeMs: () => this.#journal.logTimeMs(),
      },
      writeRefusal: () => this.#journal.writeRefusal(),
      catalog: groupCatalog(catalog, () => this.topics),
      clock,
      logger,
      members,
    })
    this.#journal = new Journal({
      disk,
      clock,
      logger,
      meter,
      machines: [catalog, ...this.groups.machines],
      batches: this.#partitions,
      onFence: (cause) => this.#onFence(cause),
      onDiskFull: () => this.#space.noteFull(),
      hasSpace: () => !this.#space.isFull,
      ...(options.journalSizes === undefined ? {} : { sizes: options.journalSizes }),
      ...(options.recover === undefined ? {} : { recover: options.recover }),
    })
    this.topics = new EmbeddedTopics({
      catalog,
      partitions: this.#partitions,
      journal: this.#journal,
      clock,
      random,
      logger,
      refusal,
      writeRefusal: () => this.#refusal() ?? this.#journal.writeRefusal(),
      onFailure,
      clusterId: () => this.#clusterId,
      engineConfig: {
        'hot.tail.bytes': String(hotTailBytes),
        'transact.bytes.max': String(transactBytesMax),
      },
    })
    this.#compactor = new Compactor({
      clock,
      logger,
      meter,
      logs: () => this.#partitions.all(),
      logTimeMs: () => this.#journal.logTimeMs(),
      mustWait: () => {
        const refusal = this.#refusal() ?? this.#journal.refusal(roundBytes)
        return refusal !== undefined || this.#space.isFull
      },
      swap: (log, old, fresh, end) => this.#partitions.swap(log, old, fresh, end),
      note: (log, end, dueMs) => this.topics.noteCompacted(log, end, dueMs),
      onFailure,
      ...(options.compactionBytesPerSecond === undefined
        ? {}
        : { bytesPerSecond: options.compactionBytesPerSecond }),
      ...(options.compactionMapBytes === undefined
        ? {}
        : { mapBytesMax: options.compactionMapBytes }),
    })
    this.log = new EmbeddedLog({
      partitions: this.#partitions,
      journal: this.#journal,
      clock,
      logger,
      refusal,
      appendRefusal: () => this.#appendRefusal(),
      moveLogStart: (log, before, timeoutMs) => this.topics.moveLogStart(log, before, timeoutMs),
      onDamage: () => meter.damagedBatch(),
    })
    this.#retention = new Retention({
      clock,
      logger,
      logs: () => this.#partitions.all(),
      logTimeMs: () => this.#journal.logTimeMs(),
      moveLogStart: (log, before, timeoutMs) => this.topics.moveLogStart(log, before, timeoutMs),
    })
    this.#keys = new IdempotencyKeys({
      topic: this.#keyTopic(),
      journal: this.#journal,
      clock,
      logger,
      meter,
      keysPerSpace: options.keysPerSpace ?? keysPerSpaceMax,
      refusal,
    })
    this.transactions = new EmbeddedTransactions({
      log: this.log,
      journal: this.#journal,
      offsets: this.groups,
      keys: this.#keys,
      clock,
      refusal,
      appendRefusal: () => this.#appendRefusal(),
    })
    const { backupPlace, journalSizes = defaultSizes } = options
    if (backupPlace !== undefined) {
      this.backups = new EmbeddedBackups({
        disk,
        clock,
        logger,
        hold: this.#partitions.hold,
        checkpoint: () => this.#journal.checkpoint(),
        refusal,
        placeFor: backupPlace,
        journalFileBytes: journalSizes.firstFileBytes,
      })
    }
  }

  async open(): Promise<void> {
    if (this.#stage !== 'new') throw new Error('Assertion: an engine opens once.')
    this.#options.lock?.acquire()
    this.#stage = 'recovering'
    try {
      const { disk, random } = this.#options
      this.#clusterId = await openMetaProperties(disk, () => randomId(random, 16))
      await this.#journal.open()
      await this.#space.open()
      this.topics.open()
      this.#stage = 'open'
      // What writes by itself stays shut where nothing may be written.
      if (this.#journal.damage !== undefined) return
      this.groups.open()
      this.#compactor.start()
      this.#retention.start()
      this.#keys.open()
    } catch (error) {
      await this.#journal.abandon().catch(() => undefined)
      await this.#partitions.close().catch(() => undefined)
      this.#options.lock?.release()
      this.#stage = 'closed'
      throw error
    }
  }

  health(): EngineHealth {
    if (this.#isFenced) {
      return { state: 'fenced', reason: `The disk failed: ${messageOf(this.#failure)}` }
    }
    if (this.#stage === 'new' || this.#stage === 'recovering') {
      return { state: 'recovering', recovery: this.#journal.progress }
    }
    if (this.#journal.damage !== undefined) {
      return { state: 'corrupt', reason: this.#journal.writeRefusal()!.message }
    }
    const damaged = this.#partitions.damagedCount
    if (damaged > 0) return { state: 'corrupt', reason: `${damaged} partitions have damage.` }
    const { state, freeBytes } = this.#space
    if (state === 'full') {
      return { state, reason: `The disk is full${roomText(freeBytes)}; appends are refused.` }
    }
    if (state === 'low') return { state, reason: `The disk has little room${roomText(freeBytes)}.` }
    const paused = this.#retention.pauseReason
    return paused === undefined ? { state: 'ok' } : { state: 'ok', reason: paused }
  }

  checkpoint(): Promise<void> {
    return this.#journal.checkpoint()
  }

  compact(): Promise<void> {
    return this.#compactor.run()
  }

  retain(): Promise<void> {
    return this.#retention.pass()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#stage !== 'open') return
    this.#stage = 'closing'
    try {
      // What waits for held files would hold up the end.
      await this.backups?.close()
      await this.#retention.close()
      await this.#keys.close()
      await this.groups.close()
      await this.#compactor.close()
      await this.#space.close()
      // What is durable may still have folders to make or to remove, so topics come after.
      await this.#journal.drain()
      await this.topics.close()
      if (!this.#isFenced && this.#journal.damage === undefined) this.#partitions.finish()
      await this.#journal.close()
    } finally {
      await this.#partitions.close()
      this.#stage = 'closed'
      this.#options.lock?.release()
    }
  }

  /** Made by the engine itself: no door shows it, and its records leave with their keys alone. */
  #keyTopic(): KeyTopic {
    return {
      log: () => this.#partitions.shown(keyTopic)?.[0],
      create: async (options) => {
        const config = { 'retention.ms': '-1', 'segment.bytes': String(keySegmentBytes) }
        const made = await this.topics.create([{ name: keyTopic, partitions: 1, config }], options)
        const error = made[0]?.error
        if (error !== undefined && error.code !== 'TOPIC_EXISTS') throw error
      },
      stage: (log, batch) => this.log.stageOwn(log, batch),
      moveLogStart: (log, before, timeoutMs) => this.topics.moveLogStart(log, before, timeoutMs),
    }
  }

  #onFence(cause: unknown): void {
    if (this.#isFenced) return
    this.#isFenced = true
    this.#failure = cause
    this.#options.logger.error({ err: cause }, 'The disk failed; the engine has stopped.')
    this.#options.onFatal?.(cause)
  }

  #refusal(): GatewayError | undefined {
    if (this.#isFenced) {
      return new GatewayError('UNAVAILABLE', 'The engine has stopped because its disk failed.')
    }
    if (this.#stage === 'open') return undefined
    const doing = this.#stage === 'closing' || this.#stage === 'closed' ? 'closing' : 'recovering'
    return new GatewayError('UNAVAILABLE', `The engine is ${doing}.`)
  }

  #appendRefusal(): GatewayError | undefined {
    const refusal = this.#refusal() ?? this.#journal.writeRefusal()
    if (refusal !== undefined) return refusal
    if (this.#space.isFull) return new GatewayError('DISK_FULL', 'The disk is full.')
    const { inFlightBytes, high } = this.#partitions.pressure
    if (inFlightBytes > high) {
      return new GatewayError(
        'OVERLOADED',
        `${inFlightBytes} bytes are on their way to the disk; the limit is ${high}.`,
      )
    }
    if (this.#journal.crowded) {
      return this.#journal.lacksSpace
        ? new GatewayError('DISK_FULL', 'The disk is full: the journal cannot be used again.')
        : new GatewayError('OVERLOADED', 'Checkpoints cannot keep up with the journal.')
    }
    return undefined
  }
}

/** What the coordinator sees of the catalog: the newest state, durable or not. */
function groupCatalog(catalog: TopicCatalog, topics: () => EmbeddedTopics): GroupCatalog {
  return {
    topic: (name) => groupTopic(catalog.byName(name)),
    topicById: (id) => groupTopic(catalog.byId(id)),
    *topics() {
      for (const topic of catalog.all()) yield groupTopic(topic)!
    },
    watch: (onChange) => topics().watch(onChange),
    onDelete: (listener) => catalog.onDelete(listener),
  }
}

function groupTopic(topic: CatalogTopic | undefined): GroupTopic | undefined {
  if (topic === undefined) return undefined
  return { name: topic.name, id: topic.id, partitions: topic.logs.length }
}

function roomText(freeBytes: number | undefined): string {
  return freeBytes === undefined ? '' : `: ${Math.floor(freeBytes / 1024 ** 2)} MiB are free`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
