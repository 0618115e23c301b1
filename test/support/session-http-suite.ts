/** What sessions promise over HTTP, whatever store they live in. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { SessionStore } from '../../src/consume/session-store.ts'
import type { TestHttp } from './http.ts'
import { openTestHttp } from './http.ts'

interface Batch {
  readonly cursor: string | null
  readonly records: readonly {
    readonly topic: string
    readonly partition: number
    readonly offset: number
    readonly key: string | null
    readonly value: unknown
    readonly headers?: readonly { readonly name: string; readonly value: string }[]
  }[]
  readonly memberEpoch: number
  readonly gaps?: readonly { readonly from: number; readonly to: number; readonly why: string }[]
  readonly assignment?: Readonly<Record<string, readonly number[]>>
  readonly revoked?: Readonly<Record<string, readonly number[]>>
}

interface Made {
  readonly session: string
  readonly memberId: string
  readonly memberEpoch: number
  readonly assignment: Readonly<Record<string, readonly number[]>>
}

interface Facts {
  readonly outstanding: { readonly cursor: string; readonly records: number } | null
  readonly expiresAt: number
  readonly surface: string
}

export function sessionHttpSuite(
  name: string,
  openStore: () => Promise<{ readonly store: SessionStore; close(): Promise<void> } | undefined>,
): void {
  describe(name, () => {
    let http: TestHttp
    let closeStore = (): Promise<void> => Promise.resolve()
    let names = 0

    before(async () => {
      const opened = await openStore()
      if (opened !== undefined) closeStore = () => opened.close()
      http = await openTestHttp(opened === undefined ? {} : { store: opened.store })
    })
    after(async () => {
      await http.close()
      await closeStore()
    })

    async function newTopic(partitions = 1): Promise<string> {
      const topic = `s${++names}`
      await http.post('/v1/topics').send({ name: topic, partitions }).expect(201)
      return topic
    }

    async function write(topic: string, values: readonly unknown[], partition = 0): Promise<void> {
      await http
        .post(`/v1/topics/${topic}/partitions/${partition}/records`)
        .type('application/json')
        .send(JSON.stringify(values))
        .expect(200)
    }

    async function join(group: string, wish: object): Promise<Made> {
      const { body } = await http.post(`/v1/groups/${group}/sessions`).send(wish).expect(201)
      return body as Made
    }

    async function poll(session: string, wish: object = {}): Promise<Batch> {
      const { body } = await http.post(`/v1/sessions/${session}/poll`).send(wish).expect(200)
      return body as Batch
    }

    const values = ({ records }: Batch): unknown[] => records.map(({ value }) => value)

    async function refusal(sent: Promise<{ body: unknown }>): Promise<string> {
      return ((await sent).body as { code: string }).code
    }

    async function committed(group: string): Promise<(number | null)[]> {
      const { body } = await http.get(`/v1/groups/${group}/offsets`).expect(200)
      return (body as { offsets: { committed: number | null }[] }).offsets.map(
        (row) => row.committed,
      )
    }

    test('a worker reads everything once, acknowledging each batch with the next poll', async () => {
      const topic = await newTopic()
      await write(topic, [1, 2, 3, 4, 5])
      const { session, assignment } = await join('loop', { topics: [topic] })
      assert.deepEqual(assignment, { [topic]: [0] })
      const seen: unknown[] = []
      let ack: string | null = null
      for (;;) {
        const batch = await poll(session, { ack, maxRecords: 2 })
        seen.push(...values(batch))
        ack = batch.cursor
        if (ack === null) break
      }
      assert.deepEqual(seen, [1, 2, 3, 4, 5])
      assert.deepEqual(await committed('loop'), [5])
    })

    test('a poll is safe to repeat: the batch that is out comes again until it is acknowledged', async () => {
      const topic = await newTopic()
      await write(topic, ['a', 'b', 'c', 'd'])
      const { session } = await join('repeat', { topics: [topic] })
      const first = await poll(session, { maxRecords: 2 })
      assert.deepEqual(values(first), ['a', 'b'])
      assert.deepEqual(await poll(session, { maxRecords: 4 }), first)
      assert.deepEqual(await committed('repeat'), [0])
      const second = await poll(session, { ack: first.cursor, maxRecords: 1 })
      assert.deepEqual(values(second), ['c'])
      assert.deepEqual(await committed('repeat'), [2])
      assert.deepEqual(await poll(session, { ack: first.cursor }), second, 'the previous cursor')
      assert.deepEqual(await poll(session, { ack: null }), second)
      const third = await poll(session, { ack: second.cursor })
      assert.deepEqual(values(third), ['d'])
      const path = `/v1/sessions/${session}/poll`
      assert.equal(
        await refusal(http.post(path).send({ ack: first.cursor }).expect(409)),
        'ILLEGAL_STATE',
      )
      assert.deepEqual(await poll(session), third)
      assert.deepEqual(values(await poll(session, { ack: third.cursor })), [])
      assert.deepEqual(values(await poll(session, { ack: third.cursor })), [])
    })

    test('a poll waits for a record, and with nothing it has no cursor', async () => {
      const topic = await newTopic()
      const { session } = await join('patient', { topics: [topic] })
      const nothing = await poll(session)
      assert.deepEqual([nothing.cursor, nothing.records], [null, []])
      const waiting = poll(session, { waitMs: 20_000 })
      await write(topic, ['news'])
      assert.deepEqual(values(await waiting), ['news'])
    })

    test('a session is described, kept alive and ended', async () => {
      const topic = await newTopic()
      await write(topic, [1, 2])
      const { session } = await join('life', { topics: [topic], ttlMs: 10_000 })
      const path = `/v1/sessions/${session}`
      const facts = async (): Promise<Facts> => (await http.get(path).expect(200)).body as Facts
      const idle = await facts()
      assert.equal(idle.outstanding, null)
      assert.equal(idle.surface, 'native')
      const batch = await poll(session)
      const busy = await facts()
      assert.deepEqual([busy.outstanding?.cursor, busy.outstanding?.records], [batch.cursor, 2])
      assert.ok(
        busy.expiresAt > idle.expiresAt + 200_000,
        'processingMs counts while a batch is out',
      )
      const beat = await http.post(`${path}/heartbeat`).expect(200)
      assert.deepEqual((beat.body as Made).assignment, { [topic]: [0] })
      const { body } = await http.get('/v1/groups/life').expect(200)
      const { members } = body as { members: { session: string; subject: string }[] }
      assert.deepEqual(
        members.map((member) => [member.session, member.subject]),
        [[session, 'anonymous']],
      )
      await http.delete(path).expect(204)
      assert.equal(await refusal(http.get(path).expect(404)), 'UNKNOWN_SESSION')
      await http.post(`${path}/poll`).send({}).expect(404)
      await http.delete(path).expect(404)
    })

    test('a part of a batch is committed by positions, and never more than was delivered', async () => {
      const topic = await newTopic()
      await write(topic, [1, 2, 3, 4])
      const { session, memberEpoch } = await join('part', { topics: [topic] })
      const batch = await poll(session, { maxRecords: 3 })
      const path = `/v1/sessions/${session}/commit`
      const at = (offset: number): object => ({
        positions: { [topic]: { '0': offset } },
        memberEpoch,
      })
      assert.equal(await refusal(http.post(path).send(at(4)).expect(422)), 'INVALID_REQUEST')
      await http.post(path).send(at(2)).expect(200)
      assert.deepEqual(await committed('part'), [2])
      await http.post(path).send(at(1)).expect(200)
      assert.deepEqual(await committed('part'), [2], 'below the committed offset nothing happens')
      assert.deepEqual(values(await poll(session)), [3])
      const whole = await http.post(path).send({ cursor: batch.cursor }).expect(200)
      assert.deepEqual(whole.body, { committed: { [topic]: { '0': 3 } } })
      await http.post(path).send({ cursor: batch.cursor }).expect(200)
      assert.deepEqual(values(await poll(session)), [4])
      await http.post(path).send({ cursor: 'nonsense' }).expect(409)
    })

    test('a poison record is parked with its reason, once, and the worker goes on behind it', async () => {
      const topic = await newTopic()
      await write(topic, ['good', 'poison', 'next'])
      const { session } = await join('park', { topics: [topic] })
      const batch = await poll(session)
      const path = `/v1/sessions/${session}/park`
      const wish = { topic, partition: 0, offset: 1, reason: 'no such customer' }
      await http
        .post(path)
        .send({ ...wish, offset: 3 })
        .expect(422)
      for (let time = 0; time < 2; time++) {
        const { body } = await http.post(path).send(wish).expect(200)
        assert.deepEqual(body, { parked: { topic, partition: 0, offset: 1 } })
      }
      assert.deepEqual(await committed('park'), [2])
      assert.deepEqual(values(await poll(session)), ['next'])
      const { body } = await http.get(`/v1/topics/${topic}.parked/records`).expect(200)
      const { records } = body as Batch
      assert.deepEqual(
        records.map(({ value, headers }) => [value, headers]),
        [
          [
            'poison',
            [
              { name: 'ebbgate-parked-from', value: `${topic}/0/1` },
              { name: 'ebbgate-parked-group', value: 'park' },
              { name: 'ebbgate-parked-reason', value: 'no such customer' },
            ],
          ],
        ],
      )
      assert.deepEqual(values(await poll(session, { ack: batch.cursor })), [])
    })

    test('a seek moves the group and drops the batch that is out', async () => {
      const topic = await newTopic()
      await write(topic, [1, 2, 3, 4])
      const { session } = await join('seek', { topics: [topic] })
      const first = await poll(session, { maxRecords: 3 })
      const path = `/v1/sessions/${session}`
      await http.post(`${path}/seek`).send({ to: 'offset:1' }).expect(200)
      assert.deepEqual(await committed('seek'), [1])
      await http.post(`${path}/poll`).send({ ack: first.cursor }).expect(409)
      assert.deepEqual(values(await poll(session)), [2, 3, 4])
      await http.post(`${path}/seek`).send({ to: 'latest', topic, partition: 0 }).expect(200)
      assert.deepEqual(values(await poll(session)), [])
      await http.post(`${path}/seek`).send({ to: 'offset:9' }).expect(410)
      await http.post(`${path}/seek`).send({ to: 'latest', partition: 7 }).expect(409)
    })

    test('a seek is not held up by a poll that waits', async () => {
      const topic = await newTopic()
      await write(topic, [1])
      const { session } = await join('both', { topics: [topic] })
      const { cursor } = await poll(session)
      const waiting = poll(session, { ack: cursor, waitMs: 60_000 })
      for (;;) {
        // Once the acknowledgement is there, the poll waits for more.
        if ((await committed('both'))[0] === 1) break
      }
      await http.post(`/v1/sessions/${session}/seek`).send({ to: 'earliest' }).expect(200)
      assert.deepEqual(values(await waiting), [])
      assert.deepEqual(values(await poll(session)), [1])
      await http.post(`/v1/sessions/${session}/seek`).send({ to: 'latest' }).expect(200)
      const queue = [poll(session, { waitMs: 60_000 }), poll(session, { waitMs: 60_000 })]
      await http.post(`/v1/sessions/${session}/seek`).send({ to: 'earliest' }).expect(200)
      await http.delete(`/v1/sessions/${session}`).expect(204)
      await Promise.allSettled(queue)
    })

    test('two sessions share the partitions; what was not acknowledged goes to who is left', async () => {
      const topic = await newTopic(2)
      await write(topic, ['p0'], 0)
      await write(topic, ['p1'], 1)
      const one = await join('shared', { topics: [topic] })
      const both = await poll(one.session)
      assert.equal(both.records.length, 2)
      const two = await join('shared', { topics: [topic] })
      assert.deepEqual(two.assignment, {}, 'nothing is given away while its batch is out')
      const rest = await poll(one.session, { ack: both.cursor, waitMs: 5_000 })
      assert.deepEqual(rest.records, [])
      let other: Batch
      do other = await poll(two.session, { waitMs: 100 })
      while (other.assignment === undefined)
      const mine = (await poll(one.session)).assignment ?? rest.assignment
      const parts = [...Object.values(mine ?? {}), ...Object.values(other.assignment)].flat()
      assert.deepEqual(parts.sort(), [0, 1])
      await write(topic, ['again'], 0)
      await write(topic, ['again'], 1)
      const left = await poll(one.session, { waitMs: 5_000 })
      assert.equal(left.records.length, 1)
      await http.delete(`/v1/sessions/${one.session}`).expect(204)
      const seen: number[] = []
      let ack: string | null = null
      while (seen.length < 2) {
        const batch: Batch = await poll(two.session, { ack, waitMs: 5_000 })
        seen.push(...batch.records.map(({ partition }) => partition))
        ack = batch.cursor
      }
      assert.deepEqual(seen.sort(), [0, 1])
    })

    test('only records with the wanted keys are delivered; the others count as done', async () => {
      const topic = await newTopic()
      for (const key of ['a', 'b', 'a', 'b', 'b']) {
        await http.post(`/v1/topics/${topic}/records?key=${key}`).send({ key }).expect(200)
      }
      const { session } = await join('keyed', { topics: [topic], keys: ['a'] })
      const batch = await poll(session)
      assert.deepEqual(
        batch.records.map(({ offset }) => offset),
        [0, 2],
      )
      assert.deepEqual(await poll(session), batch)
      await poll(session, { ack: batch.cursor })
      assert.deepEqual(await committed('keyed'), [5])
    })

    test('what was deleted before it was read is told as a gap', async () => {
      const topic = await newTopic()
      await write(topic, [1, 2, 3])
      const { session } = await join('gap', { topics: [topic] })
      await write(topic, [4])
      await http.delete(`/v1/topics/${topic}/records?before=offset:2`).expect(200)
      const batch = await poll(session)
      assert.deepEqual(values(batch), [3, 4])
      assert.deepEqual(
        batch.gaps?.map(({ from, to, why }) => [from, to, why]),
        [[0, 2, 'retention']],
      )
      assert.deepEqual(await poll(session), batch)
    })

    test('a group begins where reset says, and a glob finds its topics', async () => {
      const topic = await newTopic()
      await write(topic, [1])
      const { session } = await join('late', { pattern: `${topic.slice(0, -1)}*`, reset: 'latest' })
      assert.deepEqual(values(await poll(session)), [])
      await write(topic, [2])
      assert.deepEqual(values(await poll(session, { waitMs: 5_000 })), [2])
      const strict = await join('strict', { topics: [topic], reset: 'error' })
      const path = `/v1/sessions/${strict.session}/poll`
      assert.equal(await refusal(http.post(path).send({}).expect(410)), 'OFFSET_OUT_OF_RANGE')
      const create = http.post('/v1/groups/none/sessions')
      assert.equal(await refusal(create.send({ topics: ['nowhere'] }).expect(404)), 'UNKNOWN_TOPIC')
      await http.post('/v1/groups/none/sessions').send({}).expect(400)
    })

    test('a member that is put out takes its session with it', async () => {
      const topic = await newTopic()
      const { session, memberId } = await join('put-out', { topics: [topic] })
      await http.delete(`/v1/groups/put-out/members/${memberId}`).expect(204)
      await http.get(`/v1/sessions/${session}`).expect(404)
    })

    test('a session is no instance of the v2 API, and an instance is not polled here', async () => {
      const topic = await newTopic()
      const { session } = await join('mixed', { topics: [topic] })
      await http.get(`/consumers/mixed/instances/${session}/records`).expect(404)
      await http.delete(`/v1/sessions/${session}`).expect(204)
      const v2 = 'application/vnd.kafka.v2+json'
      await http.post('/consumers/mixed').type(v2).send({ name: 'old' }).expect(200)
      const path = '/consumers/mixed/instances/old/subscription'
      await http
        .post(path)
        .type(v2)
        .send({ topics: [topic] })
        .expect(204)
      const { body } = await http.get('/v1/groups/mixed').expect(200)
      const id = (body as { members: { session: string }[] }).members[0]?.session
      const facts = (await http.get(`/v1/sessions/${id}`).expect(200)).body as Facts
      assert.equal(facts.surface, 'v2')
      await http.post(`/v1/sessions/${id}/poll`).send({}).expect(409)
      await http.delete(`/v1/sessions/${id}`).expect(204)
    })
  })
}
