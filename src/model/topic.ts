/** Topics, partitions and their names. */

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

const legalName = /^[A-Za-z0-9._-]{1,249}$/

/** Kafka's rule: 1 to 249 characters of `[A-Za-z0-9._-]`, and neither `.` nor `..`. */
export function isTopicName(name: string): boolean {
  return legalName.test(name) && name !== '.' && name !== '..'
}

/** Names that start with `__` are the gateway's own and do not exist at any door. */
export function isInternalTopic(name: string): boolean {
  return name.startsWith('__')
}

/** Kafka keeps `a.b` and `a_b` apart in metrics only; a name that collides so is refused. */
export function collisionName(name: string): string {
  return name.replaceAll('.', '_')
}
