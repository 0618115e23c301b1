import assert from 'node:assert/strict'
import test from 'node:test'
import { Metrics } from '../../src/metrics/metrics.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { metricTopicsMax } from '../../src/model/limits.ts'

function sample(text: string, series: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

test('what was produced and read is counted in the Prometheus text', async (t) => {
  const metrics = new Metrics(systemClock)
  t.after(() => metrics.close())
  metrics.produce.stored('orders', 3, 100)
  metrics.produce.stored('orders', 2, 50)
  metrics.produce.failed('no-such-topic', 4, 'UNKNOWN_TOPIC')
  metrics.read.read(5, 500)
  const text = await metrics.text()
  assert.equal(sample(text, 'ebbgate_produce_records_total{topic="orders"}'), 5)
  assert.equal(sample(text, 'ebbgate_produce_bytes_total{topic="orders"}'), 150)
  assert.equal(sample(text, 'ebbgate_produce_failed_records_total{code="UNKNOWN_TOPIC"}'), 4)
  assert.equal(sample(text, 'ebbgate_fetch_records_total'), 5)
  assert.match(metrics.contentType, /^text\/plain; version=0\.0\.4/)
})

test('the process and its event loop are told at every scrape', async (t) => {
  const metrics = new Metrics(systemClock)
  t.after(() => metrics.close())
  const text = await metrics.text()
  assert.ok((sample(text, 'process_resident_memory_bytes') ?? 0) > 1_000_000)
  assert.ok((sample(text, 'process_cpu_seconds_total') ?? 0) > 0)
  const startedAt = sample(text, 'process_start_time_seconds') ?? 0
  assert.ok(Math.abs(startedAt - (Date.now() / 1000 - process.uptime())) < 5)
  for (const quantile of ['0.5', '0.9', '0.99', '1']) {
    const lag = sample(text, `ebbgate_event_loop_lag_seconds{quantile="${quantile}"}`)
    assert.ok(lag !== undefined && lag >= 0, quantile)
  }
})

test('two gateways in one process count apart', async (t) => {
  const [one, other] = [new Metrics(systemClock), new Metrics(systemClock)]
  t.after(() => Promise.all([one.close(), other.close()]))
  one.produce.stored('orders', 1, 1)
  assert.equal(
    sample(await other.text(), 'ebbgate_produce_records_total{topic="orders"}'),
    undefined,
  )
})

test('topics without end make no series without end', async (t) => {
  const metrics = new Metrics(systemClock)
  t.after(() => metrics.close())
  for (let i = 0; i < metricTopicsMax + 10; i += 1) metrics.produce.stored(`t${i}`, 1, 1)
  metrics.produce.stored('t0', 1, 1)
  const text = await metrics.text()
  assert.equal(sample(text, 'ebbgate_produce_records_total{topic="(others)"}'), 10)
  assert.equal(sample(text, 'ebbgate_produce_records_total{topic="t0"}'), 2)
  assert.equal(text.match(/^ebbgate_produce_records_total\{/gm)?.length, metricTopicsMax + 1)
})

test('answers are counted by status class, and their times fall into cumulated buckets', async (t) => {
  const metrics = new Metrics(systemClock)
  t.after(() => metrics.close())
  metrics.http.answered('native', 'GET', '/v1', 200, 0.5)
  metrics.http.answered('native', 'GET', '/v1', 200, 2)
  metrics.http.answered('native', 'GET', '/v1', 404, 90_000)
  const about = 'surface="native",method="GET",route="/v1"'
  for (const text of [await metrics.text(), await metrics.text()]) {
    assert.equal(sample(text, `ebbgate_http_requests_total{${about},status="2xx"}`), 2)
    assert.equal(sample(text, `ebbgate_http_requests_total{${about},status="4xx"}`), 1)
    const bucket = (le: string) => `ebbgate_http_request_seconds_bucket{le="${le}",${about}}`
    assert.equal(sample(text, bucket('0.001')), 1)
    assert.equal(sample(text, bucket('0.0025')), 2)
    assert.equal(sample(text, bucket('60')), 2)
    assert.equal(sample(text, bucket('+Inf')), 3)
    assert.equal(sample(text, `ebbgate_http_request_seconds_count{${about}}`), 3)
    assert.equal(sample(text, `ebbgate_http_request_seconds_sum{${about}}`), 90.0025)
  }
})
