/** The v3 contract without its records: cluster, topics, settings, partitions, groups, what is not there. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { openTestHttp } from '../support/http.ts'

const http = await openTestHttp()
after(() => http.close())

interface Resource {
  readonly kind: string
  readonly metadata: { readonly self: string; readonly resource_name: string }
}

type Fields = Resource & Readonly<Record<string, unknown>>

interface List {
  readonly kind: string
  readonly metadata: { readonly self: string; readonly next: null }
  readonly data: readonly Fields[]
}

const { body: clusters } = await http.get('/v3/clusters').expect(200)
const cluster = (clusters as List).data[0]!['cluster_id'] as string
const root = `/v3/clusters/${cluster}`

let made = 0

async function newTopic(more: object = {}): Promise<string> {
  const name = `v3-${made++}`
  await http
    .post(`${root}/topics`)
    .send({ topic_name: name, ...more })
    .expect(201)
  return name
}

async function listOf(path: string): Promise<List> {
  const { body } = await http.get(`${root}${path}`).expect(200)
  return body as List
}

async function refused(
  sent: PromiseLike<{ readonly status: number; readonly body: unknown }>,
): Promise<readonly [status: number, errorCode: number, message: string]> {
  const { status, body } = await sent
  const { error_code: errorCode, message } = body as { error_code: number; message: string }
  return [status, errorCode, message]
}

const codes = ([status, code]: readonly [number, number, string]): number[] => [status, code]

describe('the cluster', () => {
  test('is one, and every link in it leads somewhere', async () => {
    const { body } = await http.get(root).expect(200)
    const found = body as Fields
    assert.deepEqual(found, (clusters as List).data[0])
    assert.equal(found.metadata.self, `${http.url}${root}`)
    assert.equal(found.metadata.resource_name, `crn:///kafka=${cluster}`)
    let followed = 0
    for (const value of Object.values(found)) {
      const { related } = value as { related?: string }
      if (related === undefined) continue
      await http.get(related.slice(http.url.length)).expect(200)
      followed++
    }
    assert.equal(followed, 7)
  })

  test('of another name is 404, wherever it stands', async () => {
    for (const path of ['', '/topics', '/brokers', '/consumer-groups', '/acls', '/topics/x']) {
      const answer = await refused(http.get(`/v3/clusters/nobody${path}`))
      assert.deepEqual(answer, [404, 404, 'Cluster nobody cannot be found.'], path)
    }
  })

  test('has one broker, whose settings can be read and not be written', async () => {
    const { data } = await listOf('/brokers')
    assert.deepEqual(
      data.map(({ broker_id: id, host, port }) => [id, host, port]),
      [[1, null, null]],
    )
    await http.get(`${root}/brokers/1`).expect(200)
    assert.deepEqual(codes(await refused(http.get(`${root}/brokers/2`))), [404, 404])
    for (const path of ['/brokers/1/configs', '/brokers/-/configs', '/broker-configs']) {
      const configs = (await listOf(path)).data
      assert.ok(configs.length > 0, path)
      assert.ok(configs.every((config) => config['is_read_only'] === true))
    }
    for (const path of [`${root}/brokers/1/configs`, `${root}/broker-configs`]) {
      await http.get(`${path}/transact.bytes.max`).expect(200)
      assert.deepEqual(codes(await refused(http.get(`${path}/nothing`))), [404, 404])
      const one = `${path}/transact.bytes.max`
      const alter = { data: [{ name: 'transact.bytes.max', value: '1' }] }
      for (const write of [
        http.put(one).send({ value: '1' }),
        http.delete(one),
        http.post(`${path}:alter`).send(alter),
      ]) {
        assert.deepEqual(codes(await refused(write)), [400, 40002])
      }
    }
  })

  test('has no access control lists, and says so to whoever writes one', async () => {
    assert.deepEqual((await listOf('/acls?resource_type=TOPIC')).data, [])
    const acl = {
      resource_type: 'TOPIC',
      resource_name: 'orders',
      pattern_type: 'LITERAL',
      principal: 'User:alice',
      host: '*',
      operation: 'READ',
      permission: 'ALLOW',
    }
    for (const write of [
      http.post(`${root}/acls`).send(acl),
      http.post(`${root}/acls:batch`).send({ data: [acl] }),
      http.delete(`${root}/acls?resource_type=TOPIC`),
    ]) {
      assert.deepEqual(codes(await refused(write)), [400, 40002])
    }
    assert.deepEqual(codes(await refused(http.get(`${root}/acls?resource_type=X`))), [422, 422])
  })
})

describe('topics', () => {
  test('are made, listed, shown, grown and deleted', async () => {
    const wish = { topic_name: 'orders', partitions_count: 2, replication_factor: 1 }
    const created = await http.post(`${root}/topics`).send(wish).expect(201)
    const topic = created.body as Fields
    assert.equal(created.headers['location'], `${http.url}${root}/topics/orders`)
    assert.equal(topic.metadata.self, created.headers['location'])
    assert.equal(topic.metadata.resource_name, `crn:///kafka=${cluster}/topic=orders`)
    assert.equal(topic['partitions_count'], 2)
    assert.deepEqual((await http.get(`${root}/topics/orders`).expect(200)).body, topic)
    const listed = (await listOf('/topics')).data.find(({ topic_name: name }) => name === 'orders')
    assert.deepEqual(listed, topic)

    const grown = await http
      .patch(`${root}/topics/orders`)
      .send({ partitions_count: 3 })
      .expect(200)
    assert.equal((grown.body as Fields)['partitions_count'], 3)
    const fewer = await refused(http.patch(`${root}/topics/orders`).send({ partitions_count: 1 }))
    assert.deepEqual(codes(fewer), [422, 422])

    await http.delete(`${root}/topics/orders`).expect(204)
    const gone = await refused(http.get(`${root}/topics/orders`))
    assert.deepEqual(gone, [404, 40403, 'This server does not host this topic-partition.'])
  })

  test('that cannot be made are refused in the words of the contract', async () => {
    const name = await newTopic()
    const post = (body: unknown) => refused(http.post(`${root}/topics`).send(body as object))
    const [status, code, message] = await post({ topic_name: name })
    assert.deepEqual([status, code], [400, 40002])
    assert.match(message, new RegExp(`'${name}'.*exists`))
    const payload = 'Error: 42206 : Payload error. '
    assert.deepEqual(await post({ topic_name: 'a b' }), [422, 422, `${payload}Invalid topic name.`])
    assert.deepEqual(await post({ topic_name: 'x', retention: 1 }), [
      422,
      422,
      'Unrecognized field: retention',
    ])
    assert.deepEqual(codes(await post({ topic_name: 'x', replication_factor: 3 })), [400, 40002])
    const bad = { topic_name: 'x', configs: [{ name: 'cleanup.policy', value: 'x' }] }
    assert.deepEqual(codes(await post(bad)), [400, 40002])
    const [, , empty] = await refused(http.post(`${root}/topics`).type('json').send(''))
    assert.match(empty, /^Error: 42206 : Payload error\. Request body is empty\./)
    assert.deepEqual(
      codes(await refused(http.post(`${root}/topics`).type('json').send('{'))),
      [400, 400],
    )
    const text = await refused(http.post(`${root}/topics`).type('text').send('{}'))
    assert.deepEqual(text, [415, 415, 'HTTP 415 Unsupported Media Type'])
    await http.get(`${root}/topics/x`).expect(404)
  })

  test('can be asked for without being made', async () => {
    const wish = { topic_name: 'perhaps', partitions_count: 4, validate_only: true }
    const { body } = await http.post(`${root}/topics`).send(wish).expect(200)
    assert.equal((body as Fields)['partitions_count'], 4)
    await http.get(`${root}/topics/perhaps`).expect(404)
    const taken = await newTopic()
    const again = http.post(`${root}/topics`).send({ topic_name: taken, validate_only: true })
    assert.deepEqual(codes(await refused(again)), [400, 40002])
  })

  test('may have their copies assigned, as far as there are brokers', async () => {
    const topic = await newTopic({ replicas_assignments: { 0: [1], 1: [1] } })
    const { body } = await http.get(`${root}/topics/${topic}`).expect(200)
    assert.equal((body as Fields)['partitions_count'], 2)
    for (const replicas_assignments of [{ 0: [1], 2: [1] }, { 0: [1], 1: [1, 2] }, {}]) {
      const wish = { topic_name: 'placed', replicas_assignments }
      assert.deepEqual(codes(await refused(http.post(`${root}/topics`).send(wish))), [422, 422])
    }
    const two = { topic_name: 'placed', replicas_assignments: { 0: [1, 2] } }
    assert.deepEqual(codes(await refused(http.post(`${root}/topics`).send(two))), [400, 40002])
    const elsewhere = { topic_name: 'placed', replicas_assignments: { 0: [7] } }
    assert.deepEqual(
      codes(await refused(http.post(`${root}/topics`).send(elsewhere))),
      [400, 40002],
    )
  })

  test('show what may be done with them to whoever asks', async () => {
    const topic = await newTopic()
    const path = `${root}/topics/${topic}`
    const plain = (await http.get(path).expect(200)).body as Fields
    assert.equal(plain['authorized_operations'], undefined)
    const asked = (await http.get(`${path}?includeAuthorizedOperations=true`).expect(200)).body
    assert.ok(((asked as Fields)['authorized_operations'] as string[]).includes('WRITE'))
  })
})

describe('settings of topics', () => {
  const valueOf = async (topic: string, name: string): Promise<Fields> => {
    const { body } = await http.get(`${root}/topics/${topic}/configs/${name}`).expect(200)
    return body as Fields
  }

  test('are read, set and given back one by one', async () => {
    const topic = await newTopic()
    const path = `${root}/topics/${topic}/configs/cleanup.policy`
    const before = await valueOf(topic, 'cleanup.policy')
    assert.equal(
      before.metadata.resource_name.split(cluster)[1],
      `/topic=${topic}/config=cleanup.policy`,
    )
    assert.deepEqual(
      [before['value'], before['is_default'], before['source']],
      ['delete', true, 'DEFAULT_CONFIG'],
    )
    await http.put(path).send({ value: 'compact' }).expect(204)
    const set = await valueOf(topic, 'cleanup.policy')
    assert.deepEqual([set['value'], set['is_default']], ['compact', false])
    assert.deepEqual(set['synonyms'], [
      { name: 'cleanup.policy', value: 'compact', source: 'DYNAMIC_TOPIC_CONFIG' },
      { name: 'cleanup.policy', value: 'delete', source: 'DEFAULT_CONFIG' },
    ])
    await http.delete(path).expect(204)
    assert.deepEqual(await valueOf(topic, 'cleanup.policy'), before)
    assert.deepEqual(codes(await refused(http.put(path).send({ value: 'x' }))), [400, 40002])
    const unknown = `${root}/topics/${topic}/configs/nothing`
    for (const sent of [http.get(unknown), http.put(unknown).send({ value: '1' })]) {
      assert.deepEqual(await refused(sent), [404, 404, 'Config nothing cannot be found.'])
    }
  })

  test('are changed together or not at all, the colon encoded or not', async () => {
    const topic = await newTopic({ configs: [{ name: 'cleanup.policy', value: 'compact' }] })
    const data = [
      { name: 'retention.ms', value: '60000' },
      { name: 'cleanup.policy', operation: 'DELETE' },
    ]
    const alter = (colon: string, body: object) =>
      http.post(`${root}/topics/${topic}/configs${colon}alter`).send(body)
    await alter(':', { data, validate_only: true }).expect(204)
    assert.equal((await valueOf(topic, 'cleanup.policy'))['value'], 'compact')
    const bad = [...data, { name: 'segment.bytes', value: 'many' }]
    assert.deepEqual(codes(await refused(alter(':', { data: bad }))), [400, 40002])
    assert.equal((await valueOf(topic, 'cleanup.policy'))['value'], 'compact')
    await alter('%3A', { data }).expect(204)
    assert.equal((await valueOf(topic, 'cleanup.policy'))['value'], 'delete')
    assert.equal((await valueOf(topic, 'retention.ms'))['value'], '60000')
    await alter('%3a', { data: [{ name: 'retention.ms', operation: 'DELETE' }] }).expect(204)
    assert.equal((await valueOf(topic, 'retention.ms'))['is_default'], true)
    assert.deepEqual(
      codes(await refused(alter(':', { data: [{ name: 'segment.bytes' }] }))),
      [422, 422],
    )
  })

  test('of several topics are changed in one request, each topic for itself', async () => {
    const [one, two] = [await newTopic(), await newTopic()]
    const alter = (policies: Record<string, string>, validate_only = false) =>
      http.post(`${root}/topics/-/configs:alter`).send({
        data: Object.entries(policies).map(([topic_name, value]) => ({
          topic_name,
          configs: [{ name: 'cleanup.policy', value }],
        })),
        validate_only,
      })
    await alter({ [one]: 'compact' }, true).expect(204)
    assert.equal((await valueOf(one, 'cleanup.policy'))['value'], 'delete')
    assert.deepEqual(
      codes(await refused(alter({ [one]: 'compact', nobody: 'compact' }))),
      [404, 40403],
    )
    assert.equal((await valueOf(one, 'cleanup.policy'))['value'], 'delete')
    const { body } = await alter({ [one]: 'compact', [two]: 'x' }).expect(207)
    const { failures } = body as { failures: { topic_name: string; error_code: number }[] }
    assert.deepEqual(
      failures.map(({ topic_name: name, error_code: code }) => [name, code]),
      [[two, 40002]],
    )
    assert.equal((await valueOf(one, 'cleanup.policy'))['value'], 'compact')
  })

  test('are listed of one topic, of all, and as they would be of a new one', async () => {
    const topic = await newTopic({ configs: [{ name: 'retention.ms', value: '5' }] })
    const own = (await listOf(`/topics/${topic}/configs`)).data
    const all = (await listOf('/topics/-/configs')).data
    assert.deepEqual(
      all.filter(({ topic_name: name }) => name === topic),
      own,
    )
    const fresh = (await listOf('/topics/not-there-yet/default-configs')).data
    assert.equal(fresh.length, own.length)
    assert.ok(fresh.every((config) => config['is_default'] === true))
  })
})

describe('partitions', () => {
  test('show their leader, their copies, their offsets and that they stay where they are', async () => {
    const topic = await newTopic({ partitions_count: 2 })
    const base = `/topics/${topic}/partitions`
    const partitions = (await listOf(base)).data
    assert.deepEqual(
      partitions.map(({ partition_id: id }) => id),
      [0, 1],
    )
    const one = (await http.get(`${root}${base}/1`).expect(200)).body as Fields
    assert.deepEqual(one, partitions[1])
    const leader = (one['leader'] as { related: string }).related
    const replica = (await http.get(leader.slice(http.url.length)).expect(200)).body as Fields
    assert.deepEqual(
      [replica['broker_id'], replica['is_leader'], replica['is_in_sync']],
      [1, true, true],
    )
    assert.deepEqual((await listOf(`${base}/1/replicas`)).data, [replica])
    const onBroker = (await listOf('/brokers/1/partition-replicas')).data
    assert.ok(onBroker.some(({ metadata }) => metadata.self === replica.metadata.self))

    await http.post(`/v1${base}/1/records`).send('x').expect(200)
    const offsets = (await http.get(`${root}${base}/1/offset`).expect(200)).body as Fields
    assert.deepEqual([offsets['earliest_offset'], offsets['latest_offset']], [0, 1])
    await http.get(`${root}${base}/1/offset?offset_type=earliest_and_latest`).expect(200)
    const latest = await refused(http.get(`${root}${base}/1/offset?offset_type=latest`))
    assert.deepEqual(codes(latest), [400, 400])

    for (const path of [`${base}/-/reassignment`, '/topics/-/partitions/-/reassignment']) {
      assert.deepEqual((await listOf(path)).data, [], path)
    }
    assert.deepEqual(codes(await refused(http.get(`${root}${base}/0/reassignment`))), [404, 404])
    for (const path of ['2', '2/offset', '2/replicas', '2/reassignment']) {
      const missing = await refused(http.get(`${root}${base}/${path}`))
      assert.deepEqual(missing, [404, 40402, 'Partition not found.'], path)
    }
    assert.deepEqual(codes(await refused(http.get(`${root}${base}/0/replicas/2`))), [404, 404])
  })
})

describe('consumer groups', () => {
  test('show their members, assignments and lags', async () => {
    const topic = await newTopic({ partitions_count: 2 })
    const produce = (partition: number) =>
      http.post(`/v1/topics/${topic}/partitions/${partition}/records`).send('"x"').expect(200)
    for (const partition of [0, 0, 0, 1]) await produce(partition)
    const group = 'billing/eu'
    const path = `/consumer-groups/${encodeURIComponent(group)}`
    const v2 = '/consumers/billing%2Feu'
    const type = 'application/vnd.kafka.v2+json'
    await http
      .post(v2)
      .type(type)
      .send(JSON.stringify({ name: 'me', format: 'binary', 'auto.offset.reset': 'earliest' }))
      .expect(200)
    const me = `${v2}/instances/me`
    const topics = JSON.stringify({ topics: [topic] })
    await http.post(`${me}/subscription`).type(type).send(topics).expect(204)
    await http.get(`${me}/records`).expect(200)
    const offsets = [
      { topic, partition: 0, offset: 0 },
      { topic, partition: 1, offset: 0 },
    ]
    await http.post(`${me}/offsets`).type(type).send(JSON.stringify({ offsets })).expect(200)

    const shown = (await http.get(`${root}${path}`).expect(200)).body as Fields
    assert.deepEqual(
      [shown['consumer_group_id'], shown['state'], shown['type'], shown['is_simple']],
      [group, 'STABLE', 'CONSUMER', false],
    )
    const listed = (await listOf('/consumer-groups')).data
    assert.deepEqual(
      listed.find(({ consumer_group_id: id }) => id === group),
      shown,
    )
    const [member] = (await listOf(`${path}/consumers`)).data
    const id = member!['consumer_id'] as string
    assert.deepEqual((await http.get(`${root}${path}/consumers/${id}`).expect(200)).body, member)
    const assignments = (await listOf(`${path}/consumers/${id}/assignments`)).data
    assert.deepEqual(assignments.map((each) => [each['topic_name'], each['partition_id']]).sort(), [
      [topic, 0],
      [topic, 1],
    ])
    const one = `${path}/consumers/${id}/assignments/${topic}/partitions/1`
    await http.get(`${root}${one}`).expect(200)

    const lags = (await listOf(`${path}/lags`)).data
    assert.deepEqual(
      lags.map((lag) => [
        lag['partition_id'],
        lag['current_offset'],
        lag['log_end_offset'],
        lag['lag'],
        lag['consumer_id'],
      ]),
      [
        [0, 1, 3, 2, id],
        [1, 1, 1, 0, id],
      ],
    )
    const lag = (await http.get(`${root}${path}/lags/${topic}/partitions/0`).expect(200)).body
    assert.deepEqual(lag, lags[0])
    const summary = (await http.get(`${root}${path}/lag-summary`).expect(200)).body as Fields
    assert.deepEqual(
      [
        summary['max_lag'],
        summary['total_lag'],
        summary['max_lag_partition_id'],
        summary['max_lag_consumer_id'],
      ],
      [2, 2, 0, id],
    )

    for (const missing of [
      `${path}/consumers/nobody`,
      `${path}/consumers/${id}/assignments/${topic}/partitions/7`,
      `${path}/lags/${topic}/partitions/7`,
      '/consumer-groups/nobody',
      '/consumer-groups/nobody/lags',
      '/consumer-groups/nobody/lag-summary',
    ]) {
      assert.deepEqual(codes(await refused(http.get(`${root}${missing}`))), [404, 404], missing)
    }
    await http.delete(me).expect(204)
    const left = (await listOf(`${path}/lags`)).data
    assert.deepEqual(
      left.map((each) => [each['consumer_id'], each['instance_id'], each['client_id']]),
      [
        ['', null, ''],
        ['', null, ''],
      ],
    )
  })
})

describe('the door', () => {
  test('answers what it does not have in the shape of v3', async () => {
    assert.deepEqual(codes(await refused(http.get('/v3/nothing'))), [404, 404])
    const answer = await http.delete('/v3/clusters').expect(405)
    assert.equal((answer.body as { error_code: number }).error_code, 405)
    const accept = await refused(http.get(root).set('Accept', 'text/html'))
    assert.deepEqual(accept, [406, 406, 'HTTP 406 Not Acceptable'])
    await http.get('/openapi/v3.yaml').expect(200)
  })

  test('reads bodies in UTF-8 and ISO-8859-1, and in nothing else', async () => {
    const path = `${root}/topics/${await newTopic()}/configs/cleanup.policy`
    const put = (charset: string) =>
      http.put(path).set('Content-Type', `application/json; charset=${charset}`)
    await put('UTF-8').send('{"value":"compact"}').expect(204)
    await put('"iso-8859-1"').send('{"value":"delete"}').expect(204)
    assert.deepEqual(codes(await refused(put('utf-16').send('{"value":"delete"}'))), [400, 400])
  })
})
