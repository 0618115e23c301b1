/** What the machine's disk allows at best: the same bytes through one bare O_DSYNC journal. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

const fileBytes = 64 << 20
const block = 4096

/** Writes a second, one write of `writeBytes` in flight, into preallocated blocks. */
export async function journalWritesPerSecond(
  directory: string,
  writeBytes: number,
  seconds: number,
): Promise<number> {
  const path = join(directory, 'limit.tmp')
  const filler = await open(path, 'w')
  await filler.write(Buffer.alloc(fileBytes))
  await filler.sync()
  await filler.close()
  const file = await open(path, constants.O_RDWR | constants.O_DSYNC)
  const bytes = Buffer.alloc(Math.ceil(writeBytes / block) * block, 1)
  const until = performance.now() + seconds * 1000
  const startedAt = performance.now()
  let writes = 0
  let at = 0
  while (performance.now() < until) {
    await file.write(bytes, 0, bytes.length, at)
    writes++
    at = at + 2 * bytes.length > fileBytes ? 0 : at + bytes.length
  }
  const elapsed = (performance.now() - startedAt) / 1000
  await file.close()
  return writes / elapsed
}
