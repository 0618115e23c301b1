/**
 * A disk that refuses every change: whoever looks at a data folder through it, beside a running
 * gateway too, leaves no trace there.
 */
import type { Disk } from './disk.ts'

export function readOnlyDisk(disk: Disk): Disk {
  const refuse = (what: string) => (): never => {
    throw new Error(`Assertion: a look at the data folder tried to ${what}.`)
  }
  return {
    durability: disk.durability,
    open: (path) => disk.open(path, { readOnly: true }),
    list: (path) => disk.list(path),
    exists: (path) => disk.exists(path),
    freeBytes: () => disk.freeBytes(),
    makeDirectory: refuse('make a folder'),
    rename: refuse('rename a file'),
    link: (path, other, otherPath) => disk.link(path, other, otherPath),
    remove: refuse('remove a file'),
    removeDirectory: refuse('remove a folder'),
    syncDirectory: refuse('sync a folder'),
  }
}
