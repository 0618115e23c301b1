/** A bare WebSocket client that keeps every message as it came, so that tests see the wire. */
import WebSocket from 'ws'
import { assertServerMessage } from './push-contract.ts'
import { until } from './until.ts'

export interface Message {
  readonly type: string
  readonly [member: string]: unknown
}

export interface SeenRecord {
  readonly topic: string
  readonly epoch: string
  readonly partition: number
  readonly offset: number
  readonly value: unknown
}

export class PushClient {
  readonly messages: Message[] = []
  /** The payloads, byte for byte. */
  readonly payloads: Buffer[] = []
  readonly ws: WebSocket
  closed: { readonly code: number; readonly reason: string } | undefined
  /** Of all frames so far. */
  recordCount = 0
  #ids = 0

  constructor(url: string, protocols: readonly string[] = ['ebbgate.v1.json'], headers = {}) {
    this.ws = new WebSocket(url, [...protocols], { headers })
    this.ws.on('message', (data: Buffer) => {
      this.payloads.push(data)
      const message = JSON.parse(data.toString('utf8')) as Message
      // Every message of every test is held against the contract; of floods the first ones.
      if (this.messages.length < 200) assertServerMessage(message)
      this.messages.push(message)
      if (message.type === 'records') this.recordCount += recordsOf(message).length
    })
    this.ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
    })
    this.ws.on('error', () => undefined)
  }

  async welcomed(): Promise<Message> {
    await until(() => this.messages.length > 0, 'a welcome')
    return this.messages[0]!
  }

  send(message: unknown): void {
    this.ws.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** Sends a command and resolves to its reply, `ok` or `error`. */
  async ask(command: Readonly<Record<string, unknown>>): Promise<Message> {
    const id = ++this.#ids
    this.send({ id, ...command })
    return await this.find(({ id: found }) => found === id, `a reply to ${JSON.stringify(command)}`)
  }

  async find(matches: (message: Message) => boolean, what: string): Promise<Message> {
    await until(() => this.messages.some(matches), what)
    return this.messages.find(matches)!
  }

  /** Resolves to the first message of a type. */
  type(type: string): Promise<Message> {
    return this.find((message) => message.type === type, `a ${type}`)
  }

  /** Every record of every frame, in the order of arrival, repeats included. */
  records(): SeenRecord[] {
    return this.messages.filter(({ type }) => type === 'records').flatMap(recordsOf)
  }

  /** Resolves once this many records have come. */
  async count(records: number): Promise<SeenRecord[]> {
    await until(() => this.recordCount >= records, `${records} records`, 30_000)
    return this.records()
  }

  async closedBy(): Promise<{ code: number; reason: string }> {
    await until(() => this.closed !== undefined, 'the close')
    return this.closed!
  }

  /** Cuts the connection without a word. */
  kill(): void {
    this.ws.terminate()
  }
}

export function recordsOf(message: Message): SeenRecord[] {
  const { topic, epoch, partition, from, offsets, records } = message as unknown as {
    topic: string
    epoch: string
    partition: number
    from: number
    offsets?: number[]
    records: { value: unknown }[]
  }
  return records.map(({ value }, i) => {
    return { topic, epoch, partition, offset: offsets?.[i] ?? from + i, value }
  })
}
