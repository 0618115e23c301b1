/**
 * A file system of its own in a file of its own, mounted through a loop device, whose power can be
 * cut: a forced shutdown throws away what was not synced, at one moment, under running writers, as a
 * power failure does. Wants root, loop devices, the mkfs of the kind, and xfs_io (of xfsprogs), which
 * speaks the same shutdown call to ext4.
 */
import { execFile, spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { installPackage } from './debian-package.ts'

export type FileSystemKind = 'ext4' | 'xfs'

/** Sparse: costs what is written. Twice what the gateway wants to see free, and room for its journal. */
const imageBytes = 2 * 1024 ** 3
const commandMs = 30_000
/** A process that has just ended may hold the mount for a moment. */
const unmountAttempts = 50

export class LoopFileSystem {
  readonly kind: FileSystemKind
  readonly #folder: string
  #isMounted = false

  private constructor(kind: FileSystemKind, folder: string) {
    this.kind = kind
    this.#folder = folder
  }

  /** Made and mounted. Throws what mkfs or mount say. */
  static async make(kind: FileSystemKind): Promise<LoopFileSystem> {
    const made = new LoopFileSystem(kind, await mkdtemp(join(tmpdir(), `ebbgate-${kind}-`)))
    try {
      await mkdir(made.directory)
      const image = await open(made.#image, 'w')
      await image.truncate(imageBytes)
      await image.close()
      await run(`mkfs.${kind}`, ['-q', ...(kind === 'ext4' ? ['-F'] : []), made.#image])
      await made.mount()
      return made
    } catch (error) {
      await made.remove()
      throw error
    }
  }

  get directory(): string {
    return join(this.#folder, 'mnt')
  }

  get #image(): string {
    return join(this.#folder, 'image')
  }

  /** The file system's own journal is replayed, as after a reboot. */
  async mount(): Promise<void> {
    await run('mount', ['-o', 'loop', this.#image, this.directory])
    this.#isMounted = true
  }

  /**
   * From now on nothing reaches the image and every call fails with EIO. With `flushLog` the file
   * system's own journal still gets there, and data that was never synced does not.
   */
  async cutPower({ flushLog = false } = {}): Promise<void> {
    const command = flushLog ? 'shutdown -f' : 'shutdown'
    await run('xfs_io', ['-x', '-c', command, this.directory])
  }

  /** Detaches the loop device too. Throws when somebody still holds the file system. */
  async unmount(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await run('umount', [this.directory])
        this.#isMounted = false
        return
      } catch (error) {
        if (attempt === unmountAttempts) throw error
        await sleep(20)
      }
    }
  }

  /** Nothing is left of it, whatever state it is in. */
  async remove(): Promise<void> {
    if (this.#isMounted) await run('umount', ['--lazy', this.directory]).catch(() => undefined)
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  /** As `remove`, for a process that is about to end. */
  removeNow(): void {
    if (this.#isMounted) spawnSync('umount', ['--lazy', this.directory])
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Why this machine cannot cut the power of any file system, said to a person. */
export function cuttingLacks(): string | undefined {
  if (process.platform !== 'linux') return 'it wants Linux'
  if (process.getuid?.() !== 0) return 'it wants root, for mounts'
  if (!has('mount', '--version')) return 'there is no mount'
  if (!has('losetup', '--version')) return 'there is no losetup'
  if (!has('xfs_io', '-V')) return 'there is no xfs_io; it comes with xfsprogs'
  return undefined
}

/** Debian's xfsprogs are installed when they are missing and this user may. */
export function provideXfsprogs(): void {
  if (!has('xfs_io', '-V')) installPackage('xfsprogs')
}

/** Why a file system of this kind cannot be made here. */
export async function fileSystemLacks(kind: FileSystemKind): Promise<string | undefined> {
  try {
    const trial = await LoopFileSystem.make(kind)
    try {
      await trial.cutPower()
      await trial.unmount()
    } finally {
      await trial.remove()
    }
    return undefined
  } catch (error) {
    return String(error).trim().replaceAll(/\s+/g, ' ')
  }
}

async function run(program: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)(program, args, { timeout: commandMs })
}

function has(program: string, versionFlag: string): boolean {
  return spawnSync(program, [versionFlag], { stdio: 'ignore' }).error === undefined
}
