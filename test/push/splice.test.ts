/** The splice between log and ring under chance: produce, subscribe, stop, cut and resume. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/client/index.ts'
import { formatPosition } from '../../src/model/position.ts'
import type { PushFixture } from '../support/push-fixture.ts'
import { openPush } from '../support/push-fixture.ts'
import type { Message } from '../support/push-client.ts'
import { recordsOf } from '../support/push-client.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { TcpCutter } from '../support/tcp-cutter.ts'
import { until } from '../support/until.ts'

const partitions = 3
const writes = 400
const seed = Number(process.env['EBBGATE_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** Follows one topic over connections that it cuts itself, and checks every frame. */
class Reader {
  readonly next = new Map<number, number>()
  readonly seen: string[] = []
  #epoch = ''

  constructor() {
    for (let partition = 0; partition < partitions; partition++) this.next.set(partition, 0)
  }

  get position(): string {
    if (this.#epoch === '') return 'earliest'
    return formatPosition([{ epoch: this.#epoch, offsets: this.next }])
  }

  take(message: Message): void {
    if (message.type !== 'records') return
    const { partition, from, next } = message as unknown as Record<string, number>
    const expected = this.next.get(partition!)!
    assert.ok(from! <= expected, `partition ${partition}: ${from} came where ${expected} was due`)
    this.#epoch = message['epoch'] as string
    for (const record of recordsOf(message)) {
      if (record.offset < expected) continue
      assert.equal((record.value as unknown[])[0], record.offset)
      this.seen.push(`${record.partition}/${record.offset}`)
    }
    this.next.set(partition!, Math.max(expected, next!))
    // What the server tells as the position must never be ahead of what it has sent.
    const told = message['position'] as string | undefined
    if (told !== undefined) assert.equal(told, this.position)
  }

  has(ends: readonly number[]): boolean {
    return ends.every((end, partition) => this.next.get(partition)! >= end)
  }
}

async function readInPieces(
  push: PushFixture,
  reader: Reader,
  random: () => number,
  isDone: () => boolean,
): Promise<void> {
  while (!isDone()) {
    const client = await push.connect()
    let taken = 0
    const takeAll = (): void => {
      while (taken < client.messages.length) reader.take(client.messages[taken++]!)
    }
    await client.ask({ type: 'subscribe', sub: 's', topics: ['t'], from: reader.position })
    const lifeMs = random() * 150
    const began = performance.now()
    while (performance.now() - began < lifeMs && !isDone()) {
      await sleep(random() * 10)
      if (random() < 0.2) client.ws.pause()
      else client.ws.resume()
      takeAll()
    }
    client.kill()
    takeAll()
  }
}

test(`every offset comes once and in order over any breaks (EBBGATE_SEED=${seed})`, async () => {
  const random = seededRandom(seed)
  const push = await openPush()
  const cutter = await TcpCutter.open(push.port)
  const client = connect({ url: `http://127.0.0.1:${cutter.port}` })
  try {
    await push.createTopic('t', partitions)
    const ends = Array<number>(partitions).fill(0)
    let writing = true
    const readers = Array.from({ length: 6 }, () => new Reader())
    const reading = Promise.all(
      readers.map((reader) =>
        readInPieces(push, reader, random, () => !writing && reader.has(ends)),
      ),
    )
    const byClient: string[] = []
    client.subscribe({
      topics: ['t'],
      from: 'earliest',
      onRecord: ({ partition, offset }) => void byClient.push(`${partition}/${offset}`),
    })
    for (let i = 0; i < writes; i++) {
      const partition = Math.floor(random() * random() * partitions)
      const count = 1 + Math.floor(random() ** 3 * 200)
      const padding = 'x'.repeat(Math.floor(random() ** 4 * 2000))
      const first = ends[partition]!
      const values = Array.from({ length: count }, (_, n) => `[${first + n},"${padding}"]`)
      assert.equal(await push.write('t', partition, values), first)
      ends[partition] = first + count
      if (random() < 0.3) await sleep(random() * 10)
      if (random() < 0.03) cutter.cut()
    }
    writing = false
    await reading
    const all = ends.flatMap((end, partition) =>
      Array.from({ length: end }, (_, offset) => `${partition}/${offset}`),
    )
    await until(() => byClient.length >= all.length, 'the client to get everything', 30_000)
    for (const seen of [...readers.map((reader) => reader.seen), byClient]) {
      assert.equal(seen.length, all.length)
      for (let partition = 0; partition < partitions; partition++) {
        const own = seen.filter((place) => place.startsWith(`${partition}/`))
        assert.deepEqual(
          own,
          Array.from({ length: ends[partition]! }, (_, offset) => `${partition}/${offset}`),
        )
      }
    }
  } finally {
    await client.close()
    cutter.close()
    await push.close()
  }
})
