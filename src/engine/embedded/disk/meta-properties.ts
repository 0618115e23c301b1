/** `meta.properties`, with Kafka's keys: who this data folder is, and in which format it stands. */
import { GatewayError } from '../../../model/errors.ts'
import type { Disk } from './disk.ts'
import { readWhole, replaceFile } from './disk.ts'

export const metaPropertiesPath = 'meta.properties'
const path = metaPropertiesPath
const format = '1'

/**
 * The cluster id of the folder; a new folder gets ids from `newId`. Throws UNSUPPORTED for a format
 * of a later version, and CORRUPT_BATCH when the file cannot be understood; nothing is changed then.
 */
export async function openMetaProperties(disk: Disk, newId: () => string): Promise<string> {
  const bytes = await readWhole(disk, path)
  if (bytes === undefined) return create(disk, newId)
  const properties = new Map<string, string>()
  for (const line of bytes.toString('utf8').split('\n')) {
    const equals = line.indexOf('=')
    if (equals > 0 && !line.startsWith('#')) {
      properties.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim())
    }
  }
  const found = properties.get('ebbgate.format')
  const clusterId = properties.get('cluster.id')
  if (found === undefined || clusterId === undefined) {
    throw new GatewayError(
      'CORRUPT_BATCH',
      `The data folder's ${path} has no ebbgate.format or no cluster.id. Nothing was changed.`,
    )
  }
  if (found !== format) {
    throw new GatewayError(
      'UNSUPPORTED',
      `The data folder has format ${found}; this version knows ${format}. Nothing was changed.`,
    )
  }
  return clusterId
}

async function create(disk: Disk, newId: () => string): Promise<string> {
  const clusterId = newId()
  const lines = [
    'version=1',
    `cluster.id=${clusterId}`,
    'node.id=1',
    `directory.id=${newId()}`,
    `ebbgate.format=${format}`,
  ]
  await replaceFile(disk, path, Buffer.from(`${lines.join('\n')}\n`))
  return clusterId
}
