/**
 * The metrics of one gateway, in a registry of its own, so that several gateways live in one process.
 * Its members fit the small meter interfaces that the rooms declare; nobody imports this file but app.
 */
import type { IntervalHistogram } from 'node:perf_hooks'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Clock } from '../kit/clock.ts'
import { metricTopicsMax } from '../model/limits.ts'
import type { MetricName, MetricRow } from './catalogue.ts'
import { catalogue } from './catalogue.ts'
import type { Distribution, Tally } from './tally.ts'
import { TalliedCounter, TalliedHistogram } from './tally.ts'

type Labels<Name extends MetricName> = Readonly<
  Record<(typeof catalogue)[Name]['labels'][number], string>
>
type NamesOf<Kind extends MetricRow['kind']> = {
  [Name in MetricName]: (typeof catalogue)[Name]['kind'] extends Kind ? Name : never
}[MetricName]

const lagQuantiles = [50, 90, 99, 100] as const
/** How often the loop's delay is sampled, ms. */
const lagResolutionMs = 20
const noLabels = {}
/** The label of all topics behind the limit. */
const otherTopics = '(others)'
/** Counted on every request, so their series are held here and not looked up by labels. */
const tallied: ReadonlySet<string> = new Set<MetricName>([
  'ebbgate_http_requests_total',
  'ebbgate_http_request_seconds',
  'ebbgate_produce_records_total',
  'ebbgate_produce_bytes_total',
])
/** The one transport of the push door so far. */
const webSocket = { transport: 'websocket' }

/** What is counted of one method on one route. */
interface RouteSeries {
  readonly seconds: Distribution
  /** By status class. */
  readonly answers: Map<number, Tally>
}

/** What is counted of the writes to one topic. */
interface TopicSeries {
  readonly records: Tally
  readonly bytes: Tally
}

export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #metrics = new Map<string, Counter | Gauge | Histogram>()
  readonly #loop: IntervalHistogram = monitorEventLoopDelay({ resolution: lagResolutionMs })
  readonly #clock: Clock
  readonly #topics = new Map<string, TopicSeries>()
  readonly #routes = new Map<string, Map<string, Map<string, RouteSeries>>>()

  constructor(clock: Clock) {
    this.#clock = clock
    this.contentType = this.#registry.contentType
    for (const [name, row] of Object.entries<MetricRow>(catalogue)) {
      this.#metrics.set(name, create(name, row, this.#registry))
    }
    this.#loop.enable()
  }

  /** The Prometheus text of everything. */
  async text(): Promise<string> {
    this.#readProcess()
    return this.#registry.metrics()
  }

  close(): Promise<void> {
    this.#loop.disable()
    this.#registry.clear()
    return Promise.resolve()
  }

  readonly produce = {
    stored: (topic: string, records: number, bytes: number): void => {
      const series = this.#topics.get(topic) ?? this.#newTopic(topic)
      series.records.value += records
      series.bytes.value += bytes
    },
    failed: (_topic: string, records: number, code: string): void => {
      // Without the topic: the name may be one that does not exist, and callers can make up many.
      this.add('ebbgate_produce_failed_records_total', { code }, records)
    },
  }

  readonly read = {
    read: (records: number, bytes: number): void => {
      this.add('ebbgate_fetch_total', noLabels)
      this.add('ebbgate_fetch_records_total', noLabels, records)
      this.add('ebbgate_fetch_bytes_total', noLabels, bytes)
    },
    waiting: (polls: number): void => this.set('ebbgate_polls_waiting', noLabels, polls),
  }

  readonly http = {
    answered: (
      surface: string,
      method: string,
      route: string,
      status: number,
      durationMs: number,
    ): void => {
      const series =
        this.#routes.get(surface)?.get(route)?.get(method) ?? this.#newRoute(surface, route, method)
      const statusClass = Math.floor(status / 100)
      const answers =
        series.answers.get(statusClass) ??
        this.#newStatus(series, { surface, method, route }, statusClass)
      answers.value += 1
      series.seconds.observe(durationMs / 1000)
    },
  }

  readonly engine = {
    journalWrite: (seconds: number, bytes: number): void => {
      this.observe('ebbgate_journal_frame_bytes', noLabels, bytes)
      this.observe('ebbgate_journal_write_seconds', noLabels, seconds)
    },
    checkpoint: (seconds: number): void =>
      this.observe('ebbgate_checkpoint_seconds', noLabels, seconds),
    recovered: (frames: number, bytes: number, seconds: number): void => {
      this.set('ebbgate_recovery_frames', noLabels, frames)
      this.set('ebbgate_recovery_bytes', noLabels, bytes)
      this.set('ebbgate_recovery_seconds', noLabels, seconds)
    },
    space: (report: {
      readonly freeDiskBytes: number | undefined
      readonly disk: string
      readonly journalBytes: number
    }): void => {
      const { freeDiskBytes, disk, journalBytes } = report
      if (freeDiskBytes !== undefined) this.set('ebbgate_disk_free_bytes', noLabels, freeDiskBytes)
      this.set('ebbgate_disk_low', noLabels, disk === 'ok' ? 0 : 1)
      this.set('ebbgate_disk_full', noLabels, disk === 'full' ? 1 : 0)
      this.set('ebbgate_journal_unrecyclable_bytes', noLabels, journalBytes)
    },
    damagedBatch: (): void => this.add('ebbgate_damaged_batches_total', noLabels),
    compacted: (round: {
      readonly seconds: number
      readonly bytesRead: number
      readonly bytesWritten: number
      readonly recordsRemoved: number
    }): void => {
      this.observe('ebbgate_compaction_seconds', noLabels, round.seconds)
      this.add('ebbgate_compaction_read_bytes_total', noLabels, round.bytesRead)
      this.add('ebbgate_compaction_written_bytes_total', noLabels, round.bytesWritten)
      this.add('ebbgate_compaction_removed_records_total', noLabels, round.recordsRemoved)
    },
    idempotencyKeys: (count: number): void => this.set('ebbgate_idempotency_keys', noLabels, count),
    idempotencyWindow: (seconds: number): void =>
      this.set('ebbgate_idempotency_window_seconds', noLabels, seconds),
    removed: (segments: number, bytes: number): void => {
      this.add('ebbgate_log_removed_segments_total', noLabels, segments)
      this.add('ebbgate_log_removed_bytes_total', noLabels, bytes)
    },
  }

  readonly push = {
    connections: (count: number): void => this.set('ebbgate_push_connections', webSocket, count),
    subscriptions: (count: number): void => this.set('ebbgate_push_subscriptions', noLabels, count),
    feeds: (count: number): void => this.set('ebbgate_push_feeds', noLabels, count),
    ringBytes: (bytes: number): void => this.set('ebbgate_push_ring_bytes', noLabels, bytes),
    delivered: (records: number, bytes: number): void => {
      this.add('ebbgate_push_deliveries_total', webSocket, records)
      this.add('ebbgate_push_delivered_bytes_total', webSocket, bytes)
    },
    gap: (why: string): void => this.add('ebbgate_push_gaps_total', { why }),
    closed: (code: number): void => {
      this.add('ebbgate_push_closes_total', { code: closeLabel(code) })
    },
    refused: (why: string): void => this.add('ebbgate_push_upgrade_rejections_total', { why }),
  }

  readonly groups = {
    /** The whole truth at one time: what was said before is forgotten. */
    told: (report: {
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
    }): void => {
      for (const name of ['ebbgate_group_members', 'ebbgate_group_lag_records']) {
        ;(this.#metrics.get(name) as Gauge).reset()
      }
      for (const { group, state, members } of report.members) {
        this.set('ebbgate_group_members', { group, state: state.toLowerCase() }, members)
      }
      for (const { group, topic, partition, lag } of report.lags) {
        const labels = { group, topic, partition: String(partition) }
        this.set('ebbgate_group_lag_records', labels, lag)
      }
    },
  }

  readonly sessions = {
    active: (count: number): void => this.set('ebbgate_sessions', noLabels, count),
    adopted: (): void => this.add('ebbgate_lease_adoptions_total', noLabels),
    expired: (): void => this.add('ebbgate_sessions_expired_total', noLabels),
  }

  add<Name extends NamesOf<'counter'>>(name: Name, labels: Labels<Name>, by = 1): void {
    ;(this.#metrics.get(name) as Counter).inc(labels, by)
  }

  set<Name extends NamesOf<'gauge'>>(name: Name, labels: Labels<Name>, value: number): void {
    ;(this.#metrics.get(name) as Gauge).set(labels, value)
  }

  observe<Name extends NamesOf<'histogram'>>(
    name: Name,
    labels: Labels<Name>,
    value: number,
  ): void {
    ;(this.#metrics.get(name) as Histogram).observe(labels, value)
  }

  /** Topics have no bound, a time series database has: behind the limit they count together. */
  #newTopic(topic: string): TopicSeries {
    if (this.#topics.size >= metricTopicsMax) {
      return this.#topics.get(otherTopics) ?? this.#topicSeries(otherTopics)
    }
    return this.#topicSeries(topic)
  }

  #topicSeries(topic: string): TopicSeries {
    const series = {
      records: this.#counter('ebbgate_produce_records_total').series({ topic }),
      bytes: this.#counter('ebbgate_produce_bytes_total').series({ topic }),
    }
    this.#topics.set(topic, series)
    return series
  }

  /** Routes come from the contracts, so their number is bounded. */
  #newRoute(surface: string, route: string, method: string): RouteSeries {
    const histogram = this.#metrics.get('ebbgate_http_request_seconds') as TalliedHistogram
    const series = {
      seconds: histogram.series({ surface, method, route }),
      answers: new Map<number, Tally>(),
    }
    const routes = inner<Map<string, RouteSeries>>(this.#routes, surface)
    inner<RouteSeries>(routes, route).set(method, series)
    return series
  }

  #newStatus(
    { answers }: RouteSeries,
    labels: Readonly<Record<string, string>>,
    statusClass: number,
  ): Tally {
    const counter = this.#counter('ebbgate_http_requests_total')
    const tally = counter.series({ ...labels, status: `${statusClass}xx` })
    answers.set(statusClass, tally)
    return tally
  }

  #counter(name: MetricName): TalliedCounter {
    return this.#metrics.get(name) as TalliedCounter
  }

  #readProcess(): void {
    for (const quantile of lagQuantiles) {
      const sampled = this.#loop.percentile(quantile) / 1e9
      const lag = Math.max(0, sampled - lagResolutionMs / 1000)
      const label = { quantile: String(quantile / 100) }
      this.set('ebbgate_event_loop_lag_seconds', label, Number.isFinite(lag) ? lag : 0)
    }
    this.#loop.reset()
    const { user, system } = process.cpuUsage()
    const cpu = this.#metrics.get('process_cpu_seconds_total') as Counter
    cpu.reset()
    cpu.inc((user + system) / 1e6)
    const { rss, heapUsed, external } = process.memoryUsage()
    this.set('process_resident_memory_bytes', noLabels, rss)
    this.set('nodejs_heap_size_used_bytes', noLabels, heapUsed)
    this.set('nodejs_external_memory_bytes', noLabels, external)
    const startedAt = this.#clock.wallMs() / 1000 - process.uptime()
    this.set('process_start_time_seconds', noLabels, Math.round(startedAt))
  }
}

/** Clients choose the code of a close that they begin, so only the registered ones get a series. */
function closeLabel(code: number): string {
  const known = (code >= 1000 && code <= 1015) || (code >= 4400 && code <= 4599)
  return known ? String(code) : '(others)'
}

function create(name: string, row: MetricRow, registry: Registry): Counter | Gauge | Histogram {
  const options = { name, help: row.help, labelNames: [...row.labels], registers: [registry] }
  switch (row.kind) {
    case 'counter':
      return tallied.has(name) ? new TalliedCounter(options) : new Counter(options)
    case 'gauge':
      return new Gauge(options)
    case 'histogram': {
      const buckets = [...(row.buckets ?? [])]
      return tallied.has(name)
        ? new TalliedHistogram(options, buckets)
        : new Histogram({ ...options, buckets })
    }
  }
}

/** The map behind `key`, made when it is not there. */
function inner<Value>(outer: Map<string, Map<string, Value>>, key: string): Map<string, Value> {
  let map = outer.get(key)
  if (map === undefined) outer.set(key, (map = new Map<string, Value>()))
  return map
}
