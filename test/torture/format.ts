/**
 * Foreign eyes: Apache Kafka's own tools read the files of our engine, we read those of a real
 * broker, and keys land where the Java producer puts them.
 */
import { KafkaJars, missingForKafka } from '../support/kafka/kafka-jars.ts'
import { showOurFiles } from './foreign-reading.ts'
import { readForeignFiles } from './foreign-writing.ts'
import { compareKeys } from './foreign-keys.ts'
import type { Programme } from './programme.ts'

export const format: Programme = {
  name: 'format',
  proves: "Apache Kafka's own tools read our files, and we read those of its broker",
  needs: `Maven, a JDK of 17 or later, and at the first run the jars of Kafka (some 45 MB)`,
  missing: missingForKafka,
  flags: {
    batches: { type: 'string', default: '300' },
    rounds: { type: 'string', default: '100' },
    keys: { type: 'string', default: '10000' },
    golden: { type: 'boolean', default: false },
  },
  short: { batches: '60', rounds: '5', keys: '1000' },
  async run({ seed, flag, isSet, progress }) {
    progress('fetching the jars of Kafka')
    const jars = await KafkaJars.fetch()
    const golden = isSet('golden')
    const parts = []
    progress('Kafka reads our files')
    parts.push(await showOurFiles(jars, { batches: Number(flag('batches')), seed }))
    progress('keys')
    parts.push(await compareKeys(jars, { keys: Number(flag('keys')), seed, golden }))
    progress('a broker writes')
    parts.push(
      await readForeignFiles(jars, { rounds: golden ? 1 : Number(flag('rounds')), golden }),
    )
    return {
      figures: [['Kafka', jars.version], ...parts.flatMap(({ figures }) => figures)],
      problems: parts.flatMap(({ problems }) => problems),
    }
  },
}
