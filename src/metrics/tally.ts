/**
 * Series for what is counted on every request. The package looks a series up by hashing its labels,
 * which for one small POST costs more than writing the record; these are looked up once and are plain
 * numbers until somebody asks for them.
 */
import type { CounterConfiguration, HistogramConfiguration } from 'prom-client'
import { Counter, Histogram } from 'prom-client'

type Labels = Readonly<Record<string, string>>
type Exposed = Awaited<ReturnType<Histogram['get']>>

/** One series of a counter. */
export class Tally {
  readonly labels: Labels
  value = 0

  constructor(labels: Labels) {
    this.labels = labels
  }
}

/** A counter whose series are held by those who count. */
export class TalliedCounter extends Counter {
  readonly #series: Tally[] = []

  constructor(configuration: CounterConfiguration<string>) {
    super({ ...configuration, collect: () => this.#collect() })
  }

  /** A new series; the caller keeps it, and asks once for each set of labels. */
  series(labels: Labels): Tally {
    const tally = new Tally(labels)
    this.#series.push(tally)
    return tally
  }

  #collect(): void {
    this.reset()
    for (const { labels, value } of this.#series) this.inc(labels, value)
  }
}

/** One series of a histogram. */
export class Distribution {
  readonly labels: Labels
  /** How many fell in each bucket, not cumulated; the last one has no upper bound. */
  readonly counts: Float64Array
  readonly #bounds: readonly number[]
  sum = 0

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let bucket = 0
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++
    this.counts[bucket]! += 1
    this.sum += value
  }
}

/** A histogram whose series are held by those who measure. */
export class TalliedHistogram extends Histogram {
  readonly #bounds: readonly number[]
  readonly #series: Distribution[] = []
  readonly #about: Pick<Exposed, 'name' | 'help'>

  constructor(configuration: HistogramConfiguration<string>, bounds: readonly number[]) {
    super({ ...configuration, buckets: [...bounds] })
    this.#bounds = bounds
    this.#about = { name: configuration.name, help: configuration.help }
  }

  /** A new series; the caller keeps it, and asks once for each set of labels. */
  series(labels: Labels): Distribution {
    const distribution = new Distribution(labels, this.#bounds)
    this.#series.push(distribution)
    return distribution
  }

  /** What the registry asks for when it writes text, and what the base class's `get` builds on. */
  getForPromString(): Promise<Pick<Exposed, 'name' | 'help' | 'values'> & { type: string }> {
    const values = this.#series.flatMap((series) => this.#exposed(series))
    return Promise.resolve({ ...this.#about, type: 'histogram', values })
  }

  #exposed({ labels, counts, sum }: Distribution): Exposed['values'] {
    const { name } = this.#about
    let count = 0
    const buckets = [...this.#bounds, '+Inf'].map((le, bucket) => {
      count += counts[bucket] ?? 0
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ]
  }
}
