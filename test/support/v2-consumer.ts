/** A consumer instance of the v2 surface, driven as REST proxy clients drive it. */
import type { ReadBack } from './ledger.ts'

const binary = 'application/vnd.kafka.binary.v2+json'
const control = 'application/vnd.kafka.v2+json'

export interface V2Record extends ReadBack {
  readonly topic: string
  readonly key: string | null
}

export class V2Consumer {
  readonly #base: string

  private constructor(base: string) {
    this.#base = base
  }

  /** Made and subscribed; reads from the beginning and commits only when told. */
  static async join(url: string, group: string, name: string, topics: readonly string[]) {
    const made = await call(`${url}/consumers/${group}`, 'POST', {
      name,
      format: 'binary',
      'auto.offset.reset': 'earliest',
      'auto.commit.enable': 'false',
    })
    const { base_uri: base } = (await made.json()) as { base_uri: string }
    await call(`${base}/subscription`, 'POST', { topics })
    return new V2Consumer(base)
  }

  /** The instance that another process made. */
  static at(url: string, group: string, name: string): V2Consumer {
    return new V2Consumer(`${url}/consumers/${group}/instances/${name}`)
  }

  async poll(timeoutMs = 1000): Promise<V2Record[]> {
    const answer = await checked(
      await fetch(`${this.#base}/records?timeout=${timeoutMs}`, { headers: { accept: binary } }),
    )
    const records = (await answer.json()) as {
      topic: string
      partition: number
      offset: number
      key: string | null
      value: string | null
    }[]
    return records.map((record) => ({
      ...record,
      key: record.key === null ? null : Buffer.from(record.key, 'base64').toString(),
      value: Buffer.from(record.value ?? '', 'base64'),
    }))
  }

  async commit(): Promise<void> {
    await call(`${this.#base}/offsets`, 'POST', undefined)
  }

  /** Last processed offsets plus one, as the surface answers them; without commits left out. */
  async committed(topic: string, partitions: number): Promise<Map<number, number>> {
    const wanted = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
    const { request } = await import('node:http')
    // fetch refuses a GET with a body, which this surface asks for.
    const text = await new Promise<string>((resolve, reject) => {
      const body = JSON.stringify({ partitions: wanted })
      const get = request(
        `${this.#base}/offsets`,
        {
          method: 'GET',
          headers: { 'content-type': control, 'content-length': Buffer.byteLength(body) },
        },
        (answer) => {
          let received = ''
          answer.setEncoding('utf8').on('data', (part: string) => (received += part))
          answer.on('end', () => {
            if (answer.statusCode === 200) resolve(received)
            else reject(new Error(`${answer.statusCode}: ${received}`))
          })
        },
      )
      get.on('error', reject)
      get.end(body)
    })
    const { offsets } = JSON.parse(text) as { offsets: { partition: number; offset: number }[] }
    return new Map(offsets.map(({ partition, offset }) => [partition, offset]))
  }

  async leave(): Promise<void> {
    await call(this.#base, 'DELETE', undefined)
  }
}

async function call(url: string, method: string, body: unknown): Promise<Response> {
  return checked(
    await fetch(url, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': control } }),
    }),
  )
}

async function checked(answer: Response): Promise<Response> {
  if (!answer.ok) throw new Error(`${answer.status} ${answer.url}: ${await answer.text()}`)
  return answer
}
