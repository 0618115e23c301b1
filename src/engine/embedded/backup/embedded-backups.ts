/**
 * The backups role of the embedded engine.
 *
 *   1. Files are held: nothing that a snapshot speaks of is removed or replaced from here on.
 *   2. A checkpoint. Its snapshot holds everything that was acknowledged before the call.
 *   3. Segments up to that snapshot's recovery positions are linked or copied.
 *   4. The snapshot, and a journal that begins where it ends: the copy stands exactly at that frame, so
 *      the running journal need not be kept from recycling, and the copy starts without a replay.
 *   5. Everything is synced, and only then does the folder get its name: it is complete or absent.
 *
 * `LOCK` is never opened: closing it would drop the lock of the running engine.
 */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { GatewayError } from '../../../model/errors.ts'
import type { BackupReport, Backups } from '../../backups.ts'
import type { CallOptions } from '../../call.ts'
import { readTopics } from '../catalog/topic-catalog.ts'
import type { Disk } from '../disk/disk.ts'
import { DiskFullError, replaceFile } from '../disk/disk.ts'
import { metaPropertiesPath } from '../disk/meta-properties.ts'
import { JournalFile, journalFolder } from '../journal/journal-file.ts'
import { blockBytes } from '../journal/journal-frame.ts'
import type { StoredSnapshot } from '../journal/snapshot.ts'
import { encodeSnapshot, snapshotFolder, snapshotPath, SnapshotStore } from '../journal/snapshot.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { FileHold } from '../log/file-hold.ts'
import { readPositions } from '../log/recovery-position.ts'
import type { BackupPlace } from '../disk/backup-place.ts'
import type { PartitionSource } from './folder-copy.ts'
import { FolderCopy } from './folder-copy.ts'

/** The log tells how far a long back-up is at this pace, ms. */
const progressMs = 10_000

export interface EmbeddedBackupsParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: Logger
  readonly hold: FileHold
  readonly checkpoint: () => Promise<void>
  /** Why nothing can be done now. */
  readonly refusal: () => GatewayError | undefined
  /** Checks a directory and begins a folder for it. */
  readonly placeFor: (directory: string) => Promise<BackupPlace>
  /** Size of the copy's journal file. */
  readonly journalFileBytes: number
}

export class EmbeddedBackups implements Backups {
  readonly #parts: EmbeddedBackupsParts
  #running: Promise<BackupReport> | undefined
  #isClosed = false

  constructor(parts: EmbeddedBackupsParts) {
    this.#parts = parts
  }

  make(directory: string, { timeoutMs, signal }: CallOptions): Promise<BackupReport> {
    const refusal = this.#parts.refusal()
    if (refusal !== undefined) return Promise.reject(refusal)
    if (this.#running !== undefined) {
      const message = 'Another back-up is being made; one at a time.'
      return Promise.reject(new GatewayError('ILLEGAL_STATE', message))
    }
    const deadlineMs = this.#parts.clock.monotonicMs() + timeoutMs
    const checkStop = (): void => {
      if (this.#isClosed || signal?.aborted === true) {
        throw new GatewayError('UNAVAILABLE', 'The back-up was given up; nothing is left of it.')
      }
      if (this.#parts.clock.monotonicMs() < deadlineMs) return
      throw new GatewayError(
        'TIMEOUT',
        `The back-up was not done within ${timeoutMs} ms; nothing is left of it. On the file system of the data folder it takes links instead of copies.`,
      )
    }
    this.#running = this.#make(directory, checkStop).finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Gives up the one that is being made. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#running?.catch(() => undefined)
  }

  async #make(directory: string, checkStop: () => void): Promise<BackupReport> {
    const { clock, logger } = this.#parts
    const startMs = clock.monotonicMs()
    const place = await this.#parts.placeFor(directory)
    logger.info({ directory }, 'A back-up begins.')
    try {
      const report = await this.#fill(place, checkStop)
      await place.finish()
      const milliseconds = Math.round(clock.monotonicMs() - startMs)
      logger.info({ directory, ...report, milliseconds }, 'A back-up is complete.')
      return report
    } catch (error) {
      logger.warn({ err: error, directory }, 'A back-up failed; nothing is left of it.')
      await place.discard().catch((cause: unknown) => {
        logger.warn({ err: cause, directory }, 'What a back-up left could not be taken back.')
      })
      if (error instanceof DiskFullError) {
        throw new GatewayError('DISK_FULL', 'The disk of the back-up is full.', { cause: error })
      }
      throw error
    }
  }

  async #fill({ disk: target }: BackupPlace, checkStop: () => void): Promise<BackupReport> {
    const { disk, hold } = this.#parts
    const release = await hold.hold()
    try {
      checkStop()
      await this.#parts.checkpoint()
      const snapshot = (await new SnapshotStore(disk).load()).snapshots[0]
      if (snapshot === undefined) throw new Error('Assertion: a checkpoint leaves a snapshot.')
      for (const folder of ['logs', journalFolder, snapshotFolder]) {
        await target.makeDirectory(folder)
      }
      const copy = new FolderCopy(disk, target, checkStop)
      const sources = partitionsOf(snapshot)
      await this.#partitions(copy, sources)
      await target.syncDirectory('logs')
      await copy.plain(metaPropertiesPath)
      await this.#journal(target, snapshot)
      await target.syncDirectory('.')
      checkStop()
      return {
        topics: new Set(sources.map(({ topicId }) => topicId)).size,
        partitions: sources.length,
        bytes: copy.bytes,
        linkedBytes: copy.linkedBytes,
      }
    } finally {
      release()
    }
  }

  async #partitions(copy: FolderCopy, sources: readonly PartitionSource[]): Promise<void> {
    const { clock, logger } = this.#parts
    let toldMs = clock.monotonicMs()
    for (const [done, source] of sources.entries()) {
      await copy.partition(source)
      if (clock.monotonicMs() - toldMs < progressMs) continue
      toldMs = clock.monotonicMs()
      const { bytes, linkedBytes } = copy
      logger.info({ done: done + 1, of: sources.length, bytes, linkedBytes }, 'A back-up goes on.')
    }
  }

  /** A journal without frames, and the snapshot that says so. */
  async #journal(target: Disk, snapshot: StoredSnapshot): Promise<void> {
    const { generation, position } = snapshot
    const { fileSeq, nextFrameSeq } = position
    const file = await JournalFile.make(target, '0001.jnl', this.#parts.journalFileBytes)
    try {
      await file.begin({ fileSeq, generation, firstFrameSeq: nextFrameSeq })
    } finally {
      await file.close()
    }
    const standing = { ...snapshot, position: { fileSeq, offset: blockBytes, nextFrameSeq } }
    await replaceFile(target, snapshotPath(snapshot.number), encodeSnapshot(standing))
  }
}

function partitionsOf({ sections }: StoredSnapshot): PartitionSource[] {
  const catalog = sections.get(entryKinds.META)
  const positions = readPositions(sections.get(entryKinds.BATCH) ?? new Uint8Array(0))
  if (catalog === undefined) return []
  return readTopics(catalog).flatMap(({ name, id, refs }) =>
    refs
      .flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i))
      .map((ref, partition) => ({
        topic: name,
        topicId: id,
        partition,
        position: positions.get(ref),
      })),
  )
}
