/** `ebbgate restore <directory>`: a back-up becomes a data folder again, after it was verified. */
import { resolve } from 'node:path'
import { copyDataFolder } from '../app/data-copy.ts'
import { DataFolder } from '../app/data-folder.ts'
import { findingText } from './doctor.ts'
import { exitFailed } from './failure.ts'
import { print } from './output.ts'

/** What the back-up carries of damage is restored too, and said: the rest of it may be what is needed. */
export async function restore(
  directory: string,
  { data }: { readonly data: string },
): Promise<void> {
  const { path } = new DataFolder(directory)
  const copy = await copyDataFolder(path, data)
  try {
    // Not the back-up but what was made of it: that is what will be started.
    const found = await new DataFolder(copy.temporary).examine((finding) => {
      process.stdout.write(`${findingText(finding)}\n`)
    })
    await copy.finish()
    const verdict = found.isSound ? 'sound' : 'damaged'
    await print(
      `${resolve(data)}: ${found.partitions.length} partitions, ${found.batches} batches, ${verdict}.\n`,
    )
    if (!found.isSound) process.exitCode = exitFailed
  } catch (error) {
    await copy.discard()
    throw error
  }
}
