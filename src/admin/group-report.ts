/** What metrics say of all groups: members and lag, of so many groups and partitions and no more. */
import { metricGroupPartitionsMax, metricGroupsMax } from '../model/limits.ts'
import { anonymous } from '../model/principal.ts'
import type { GroupAdmin } from './groups.ts'

export interface GroupReport {
  readonly members: readonly {
    readonly group: string
    readonly state: string
    readonly members: number
  }[]
  readonly lags: readonly {
    readonly group: string
    readonly topic: string
    readonly partition: number
    readonly lag: number
  }[]
}

/** The first groups by name; a time series database pays for each of them. */
export async function reportGroups(groups: GroupAdmin): Promise<GroupReport> {
  const { groups: members } = await groups.page(anonymous, { limit: metricGroupsMax })
  const lags: GroupReport['lags'][number][] = []
  for (const { group } of members) {
    if (lags.length >= metricGroupPartitionsMax) break
    const rows = await groups.partitions(anonymous, group).catch(() => [])
    for (const { topic, partition, lag } of rows) lags.push({ group, topic, partition, lag })
  }
  return { members, lags: lags.slice(0, metricGroupPartitionsMax) }
}
