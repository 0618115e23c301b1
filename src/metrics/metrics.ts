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
/** The one transport of the push door so far. */
const webSocket = { transport: 'websocket' }

export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #metrics = new Map<string, Counter | Gauge | Histogram>()
  readonly #loop: IntervalHistogram = monitorEventLoopDelay({ resolution: lagResolutionMs })
  readonly #clock: Clock
  readonly #topics = new Set<string>()

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
      const labels = { topic: this.#topicLabel(topic) }
      this.add('ebbgate_produce_records_total', labels, records)
      this.add('ebbgate_produce_bytes_total', labels, bytes)
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
      const labels = { surface, method, route }
      const statusClass = `${Math.floor(status / 100)}xx`
      this.add('ebbgate_http_requests_total', { ...labels, status: statusClass })
      this.observe('ebbgate_http_request_seconds', labels, durationMs / 1000)
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
    damagedBatch: (): void => this.add('ebbgate_damaged_batches_total', noLabels),
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
  #topicLabel(topic: string): string {
    if (this.#topics.has(topic)) return topic
    if (this.#topics.size >= metricTopicsMax) return '(others)'
    this.#topics.add(topic)
    return topic
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
      return new Counter(options)
    case 'gauge':
      return new Gauge(options)
    case 'histogram':
      return new Histogram({ ...options, buckets: [...(row.buckets ?? [])] })
  }
}
