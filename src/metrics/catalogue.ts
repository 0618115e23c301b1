/** Every metric once: name, kind, help, labels, buckets. docs/metrics.md shows the same table. */

export interface MetricRow {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Upper bounds, ascending; histograms only. */
  readonly buckets?: readonly number[]
}

/** From a fast disk to the longest long poll, seconds. */
const requestSeconds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
]
/** From an NVMe write to a disk in trouble, seconds. */
const diskSeconds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5,
]
/** Powers of four from 1 KiB to 16 MiB. */
const frameBytes = [1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216]

export const catalogue = {
  ebbgate_info: {
    kind: 'gauge',
    help: 'Always 1; the labels tell version, engine and Node.',
    labels: ['version', 'engine', 'node'],
  },
  ebbgate_ready: {
    kind: 'gauge',
    help: '1 while the gateway takes requests, 0 while it recovers or stops.',
    labels: [],
  },

  // The HTTP door.
  ebbgate_http_requests_total: {
    kind: 'counter',
    help: 'Answered requests by surface, method, route of its contract, and status class.',
    labels: ['surface', 'method', 'route', 'status'],
  },
  ebbgate_http_request_seconds: {
    kind: 'histogram',
    help: 'Time from the request to the end of its answer; long polls include their wait.',
    labels: ['surface', 'method', 'route'],
    buckets: requestSeconds,
  },

  // Writing and reading.
  ebbgate_produce_records_total: {
    kind: 'counter',
    help: 'Records acknowledged, which means durable.',
    labels: ['topic'],
  },
  ebbgate_produce_bytes_total: {
    kind: 'counter',
    help: 'Bytes of the batches acknowledged.',
    labels: ['topic'],
  },
  ebbgate_produce_failed_records_total: {
    kind: 'counter',
    help: 'Records refused or failed, by error code.',
    labels: ['code'],
  },
  ebbgate_fetch_records_total: {
    kind: 'counter',
    help: 'Records given to readers over HTTP.',
    labels: [],
  },
  ebbgate_fetch_bytes_total: {
    kind: 'counter',
    help: 'Bytes read for them.',
    labels: [],
  },
  ebbgate_fetch_total: { kind: 'counter', help: 'Reads answered over HTTP.', labels: [] },
  ebbgate_polls_waiting: {
    kind: 'gauge',
    help: 'Long polls that wait for a record now.',
    labels: [],
  },

  // The embedded engine.
  ebbgate_journal_write_seconds: {
    kind: 'histogram',
    help: 'Time of one journal write, until the disk has it.',
    labels: [],
    buckets: diskSeconds,
  },
  ebbgate_journal_frame_bytes: {
    kind: 'histogram',
    help: 'Size of journal frames: group commit at work.',
    labels: [],
    buckets: frameBytes,
  },
  ebbgate_checkpoint_seconds: {
    kind: 'histogram',
    help: 'Time of one checkpoint.',
    labels: [],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  },
  ebbgate_log_in_flight_bytes: {
    kind: 'gauge',
    help: 'Bytes admitted and not yet in their segment; too many of them answer OVERLOADED.',
    labels: [],
  },
  ebbgate_journal_unrecyclable_bytes: {
    kind: 'gauge',
    help: 'Journal that cannot be written over before further checkpoints.',
    labels: [],
  },
  ebbgate_disk_free_bytes: {
    kind: 'gauge',
    help: 'Room left on the disk of the data folder.',
    labels: [],
  },
  ebbgate_disk_low: {
    kind: 'gauge',
    help: '1 while the disk has little room, so that what retention may remove goes at once.',
    labels: [],
  },
  ebbgate_disk_full: {
    kind: 'gauge',
    help: '1 while the disk is full and appends answer DISK_FULL.',
    labels: [],
  },
  ebbgate_compaction_seconds: {
    kind: 'histogram',
    help: 'Time of one round of compaction over one partition, its pauses included.',
    labels: [],
    buckets: [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600],
  },
  ebbgate_compaction_read_bytes_total: {
    kind: 'counter',
    help: 'Bytes that compaction read.',
    labels: [],
  },
  ebbgate_compaction_written_bytes_total: {
    kind: 'counter',
    help: 'Bytes of the segments that compaction put in the place of others.',
    labels: [],
  },
  ebbgate_compaction_removed_records_total: {
    kind: 'counter',
    help: 'Records that compaction removed: older ones of their key, and tombstones after their time.',
    labels: [],
  },
  ebbgate_log_removed_segments_total: {
    kind: 'counter',
    help: 'Segments removed by retention, or because their records were deleted.',
    labels: [],
  },
  ebbgate_log_removed_bytes_total: { kind: 'counter', help: 'Bytes of them.', labels: [] },
  ebbgate_damaged_batches_total: {
    kind: 'counter',
    help: 'Batches that a read or a recovery found damaged.',
    labels: [],
  },
  ebbgate_recovery_frames: {
    kind: 'gauge',
    help: 'Journal frames replayed at the last start.',
    labels: [],
  },
  ebbgate_recovery_bytes: {
    kind: 'gauge',
    help: 'Journal bytes replayed at the last start.',
    labels: [],
  },
  ebbgate_idempotency_keys: {
    kind: 'gauge',
    help: 'Idempotency keys that are known.',
    labels: [],
  },
  ebbgate_idempotency_window_seconds: {
    kind: 'gauge',
    help: 'Age of the last idempotency key that was pushed out before its time; 0 while none was.',
    labels: [],
  },
  ebbgate_recovery_seconds: { kind: 'gauge', help: 'Time of the last recovery.', labels: [] },

  // The push door.
  ebbgate_push_connections: {
    kind: 'gauge',
    help: 'Open connections.',
    labels: ['transport'],
  },
  ebbgate_push_subscriptions: { kind: 'gauge', help: 'Live subscriptions.', labels: [] },
  ebbgate_push_feeds: { kind: 'gauge', help: 'Feeds that share their frames.', labels: [] },
  ebbgate_push_ring_bytes: {
    kind: 'gauge',
    help: 'Frames kept ready in the rings of all feeds.',
    labels: [],
  },
  ebbgate_push_deliveries_total: {
    kind: 'counter',
    help: 'Records written to sockets, counted once for each subscriber.',
    labels: ['transport'],
  },
  ebbgate_push_delivered_bytes_total: {
    kind: 'counter',
    help: 'Bytes written to sockets.',
    labels: ['transport'],
  },
  ebbgate_push_gaps_total: {
    kind: 'counter',
    help: 'Gaps told to subscribers, by reason.',
    labels: ['why'],
  },
  ebbgate_push_closes_total: {
    kind: 'counter',
    help: 'Closed connections by close code.',
    labels: ['code'],
  },

  ebbgate_push_upgrade_rejections_total: {
    kind: 'counter',
    help: 'Upgrades refused before the 101, by reason.',
    labels: ['why'],
  },

  // Consumer sessions.
  ebbgate_sessions: {
    kind: 'gauge',
    help: 'Consumer sessions whose lease this node holds.',
    labels: [],
  },
  ebbgate_lease_adoptions_total: {
    kind: 'counter',
    help: 'Sessions taken over from a node that let their lease lapse.',
    labels: [],
  },
  ebbgate_sessions_expired_total: {
    kind: 'counter',
    help: 'Sessions that ended because their client fell silent.',
    labels: [],
  },

  // Consumer groups.
  ebbgate_group_members: {
    kind: 'gauge',
    help: 'Members of a group, by its state; of the first 200 groups by name.',
    labels: ['group', 'state'],
  },
  ebbgate_group_lag_records: {
    kind: 'gauge',
    help: 'Records between the committed offset of a group and the durable end; of the first 2,000 partitions.',
    labels: ['group', 'topic', 'partition'],
  },

  // The process.
  ebbgate_event_loop_lag_seconds: {
    kind: 'gauge',
    help: 'Delay of the event loop since the last scrape, by quantile.',
    labels: ['quantile'],
  },
  process_cpu_seconds_total: {
    kind: 'counter',
    help: 'User and system CPU time.',
    labels: [],
  },
  process_resident_memory_bytes: { kind: 'gauge', help: 'Resident memory.', labels: [] },
  process_start_time_seconds: {
    kind: 'gauge',
    help: 'Start of the process, seconds since 1970.',
    labels: [],
  },
  nodejs_heap_size_used_bytes: { kind: 'gauge', help: 'JavaScript heap in use.', labels: [] },
  nodejs_external_memory_bytes: {
    kind: 'gauge',
    help: 'Memory of buffers outside the heap.',
    labels: [],
  },
} as const satisfies Readonly<Record<string, MetricRow>>

export type MetricName = keyof typeof catalogue
