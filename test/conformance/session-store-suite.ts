/** What every session store must do. Run it on a new one with `sessionStoreSuite(name, create)`. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { Membership, Session, SessionKey } from '../../src/consume/session.ts'
import type { SessionStore, StoredSession } from '../../src/consume/session-store.ts'

export interface StoreUnderTest {
  /** Two nodes over one memory; the same object twice where there is only one node. */
  readonly stores: readonly [SessionStore, SessionStore]
  /** Lets this much of the store's time pass, ms. */
  readonly pass: (ms: number) => Promise<void>
  close(): Promise<void>
}

const leaseMs = 10_000
const ownerMax = 3

export function sessionStoreSuite(name: string, create: () => Promise<StoreUnderTest>): void {
  describe(`${name} session store`, () => {
    let shared: Promise<StoreUnderTest> | undefined
    const under = (): Promise<StoreUnderTest> => (shared ??= create())
    after(async () => (await shared)?.close())
    let made = 0

    /** A name of its own for each test, because the store is shared. */
    const fresh = (change: Partial<Session> = {}): Session => ({
      id: `s${++made}`,
      group: 'orders / ünï',
      name: `worker ${made}:{x}`,
      owner: `owner-${made}`,
      surface: 'v2',
      format: 'json',
      reset: 'earliest',
      autoCommit: true,
      minBytes: -1,
      waitMs: 1_000,
      ttlMs: 60_000,
      subscription: null,
      subscriptionRevision: 0,
      positions: [],
      settled: false,
      isCut: false,
      turn: 0,
      ...change,
    })

    const membership = (revision: number): Membership => ({
      memberId: 'm-1',
      memberEpoch: 4,
      revision,
      subscriptionRevision: 1,
      owned: [{ topic: 'orders', topicId: 'o-1', partition: 3, grant: revision }],
      releasing: [],
    })

    const keyOf = ({ group, name: instance }: Session): SessionKey => ({ group, name: instance })

    const expectFound = (found: StoredSession | 'busy' | undefined): StoredSession => {
      assert.ok(found !== undefined && found !== 'busy')
      return found
    }

    test('a session comes back as it was stored, offsets beyond 2^32 included', async () => {
      const [one, two] = (await under()).stores
      const session = fresh({
        subscription: { pattern: 'ä.*"\\n' },
        positions: [
          { topic: 't', partition: 0, grant: 1, next: 2 ** 53 - 1, committed: 2 ** 53 - 2 },
        ],
      })
      const created = await one.create(session, 'node-1', leaseMs, ownerMax)
      assert.deepEqual(created.session, session)
      assert.deepEqual(created.lease, { node: 'node-1', token: 1 })
      assert.equal(created.membership, null)
      assert.equal(created.reader, null)
      const found = expectFound(await two.find(keyOf(session)))
      assert.deepEqual({ ...found, idleMs: 0 }, { ...created, idleMs: 0 })
    })

    test('a name is given once in its group', async () => {
      const [one, two] = (await under()).stores
      const session = fresh()
      await one.create(session, 'node-1', leaseMs, ownerMax)
      const rival = { ...session, id: 's-rival' }
      await assert.rejects(two.create(rival, 'node-2', leaseMs, ownerMax), {
        code: 'SESSION_EXISTS',
      })
      await two.create({ ...rival, group: 'another' }, 'node-2', leaseMs, ownerMax)
      assert.equal(expectFound(await one.find(keyOf(session))).session.id, session.id)
    })

    test('one owner has so many sessions and no more', async () => {
      const [one] = (await under()).stores
      const owner = `crowd-${made}`
      const sessions = [fresh({ owner }), fresh({ owner }), fresh({ owner })]
      for (const session of sessions) await one.create(session, 'node-1', leaseMs, ownerMax)
      const late = fresh({ owner })
      await assert.rejects(one.create(late, 'node-1', leaseMs, ownerMax), { code: 'RATE_LIMITED' })
      assert.equal(await one.find(keyOf(late)), undefined)
      assert.equal(await one.remove(keyOf(sessions[0]!), sessions[0]!.id), true)
      await one.create(late, 'node-1', leaseMs, ownerMax)
    })

    test("another principal's session is not found and not kept alive", async () => {
      const { stores, pass } = await under()
      const session = fresh()
      await stores[0].create(session, 'node-1', leaseMs, ownerMax)
      await pass(150)
      assert.equal(await stores[1].find(keyOf(session), 'stranger'), undefined)
      assert.equal(await stores[1].beginRead(keyOf(session), 'stranger', 'r', 1_000), undefined)
      assert.ok(expectFound(await stores[0].find(keyOf(session))).idleMs >= 150)
      assert.ok(expectFound(await stores[1].find(keyOf(session), session.owner)).idleMs < 150)
    })

    test('a session is found by its id until it ends, and its namesake is not taken for it', async () => {
      const { stores, pass } = await under()
      const [one, two] = stores
      const session = fresh({ ttlMs: 30 })
      const { lease } = await one.create(session, 'node-1', leaseMs, ownerMax)
      assert.deepEqual(await two.locate(session.id), keyOf(session))
      assert.equal(await two.locate('s-none'), undefined)
      await pass(40)
      assert.equal(await one.expire(keyOf(session), lease), true)
      assert.equal(await two.locate(session.id), undefined)
      const next = { ...session, id: `${session.id}-next` }
      await one.create(next, 'node-1', leaseMs, ownerMax)
      assert.equal(await two.locate(session.id), undefined)
      assert.deepEqual(await two.locate(next.id), keyOf(next))
      await one.remove(keyOf(next), next.id)
      assert.equal(await two.locate(next.id), undefined)
    })

    test('a client that works on a batch has more time before its session ends', async () => {
      const { stores, pass } = await under()
      const [one] = stores
      const session = fresh({ surface: 'native', ttlMs: 30, processingMs: 60_000 })
      const { lease, version } = await one.create(session, 'node-1', leaseMs, ownerMax)
      const out = { cursor: '1.1.x', records: 1, sentMs: 1, spans: [] }
      const saved = expectFound(await one.save(keyOf(session), version, { ...session, out }))
      await pass(40)
      assert.equal(await one.expire(keyOf(session), lease), false)
      await one.save(keyOf(session), saved.version, { ...session, out: null })
      assert.equal(await one.expire(keyOf(session), lease), true)
    })

    test('of two writers that read the same version one wins', async () => {
      const [one, two] = (await under()).stores
      const session = fresh()
      const { version } = await one.create(session, 'node-1', leaseMs, ownerMax)
      const saved = await one.save(keyOf(session), version, { ...session, turn: 1 })
      assert.ok(expectFound(saved).version > version)
      assert.equal(await two.save(keyOf(session), version, { ...session, turn: 2 }), undefined)
      assert.equal(expectFound(await two.find(keyOf(session))).session.turn, 1)
    })

    test('what is saved for a session that ended does not reach the next one of its name', async () => {
      const [one, two] = (await under()).stores
      const ended = fresh()
      const { version } = await one.create(ended, 'node-1', leaseMs, ownerMax)
      await one.remove(keyOf(ended), ended.id)
      const next = { ...ended, id: `${ended.id}-next` }
      assert.equal((await two.create(next, 'node-2', leaseMs, ownerMax)).version, version)
      assert.equal(await one.save(keyOf(ended), version, { ...ended, turn: 1 }), undefined)
      assert.deepEqual(expectFound(await two.find(keyOf(next))).session, next)
    })

    test('the membership is written by the lease holder alone, and leaves the version', async () => {
      const { stores, pass } = await under()
      const [one, two] = stores
      const session = fresh()
      const { lease, version } = await one.create(session, 'node-1', 100, ownerMax)
      assert.equal(await one.saveMembership(keyOf(session), lease, membership(1)), true)
      assert.equal(await two.adopt(keyOf(session), 'node-2', leaseMs), undefined, 'still held')
      await pass(110)
      const adopted = expectFound(await two.adopt(keyOf(session), 'node-2', leaseMs))
      assert.deepEqual(adopted.lease, { node: 'node-2', token: lease.token + 1 })
      assert.deepEqual(adopted.membership, membership(1))
      assert.equal(await one.saveMembership(keyOf(session), lease, membership(2)), false)
      assert.equal(await two.saveMembership(keyOf(session), adopted.lease, membership(3)), true)
      const found = expectFound(await one.find(keyOf(session)))
      assert.deepEqual(found.membership, membership(3))
      assert.equal(found.version, version)
      assert.equal(await two.saveMembership(keyOf(session), adopted.lease, null), true)
      assert.equal(expectFound(await one.find(keyOf(session))).membership, null)
    })

    test('a lease that is renewed stays, one that lapsed is found and taken once', async () => {
      const { stores, pass } = await under()
      const [one, two] = stores
      const [kept, left] = [fresh(), fresh()]
      const keptLease = (await one.create(kept, 'node-1', 150, ownerMax)).lease
      const leftLease = (await one.create(left, 'node-1', 150, ownerMax)).lease
      await pass(100)
      const renewals = [
        { key: keyOf(kept), id: kept.id, owner: kept.owner, lease: keptLease },
        { key: { group: 'no', name: 'such' }, id: 'none', owner: 'x', lease: keptLease },
      ]
      const [check, none] = await one.renew(renewals, leaseMs)
      assert.equal(check?.version, 1)
      assert.ok(check.idleMs >= 100)
      assert.equal(none, undefined)
      await pass(60)
      const keys = (await two.lapsed(1_000)).map(({ name: instance }) => instance)
      assert.ok(keys.includes(left.name) && !keys.includes(kept.name))
      const takers = await Promise.all([
        one.adopt(keyOf(left), 'node-1', leaseMs),
        two.adopt(keyOf(left), 'node-2', leaseMs),
      ])
      assert.equal(takers.filter((taken) => taken !== undefined).length, 1)
      const stale = [{ key: keyOf(left), id: left.id, owner: left.owner, lease: leftLease }]
      assert.deepEqual(await one.renew(stale, leaseMs), [undefined])
    })

    test('a lease that lapsed and that nobody took can be renewed', async () => {
      const { stores, pass } = await under()
      const session = fresh()
      const { lease } = await stores[0].create(session, 'node-1', 50, ownerMax)
      await pass(60)
      const renewal = { key: keyOf(session), id: session.id, owner: session.owner, lease }
      const [check] = await stores[0].renew([renewal], leaseMs)
      assert.notEqual(check, undefined)
      assert.equal(await stores[1].adopt(keyOf(session), 'node-2', leaseMs), undefined)
    })

    test('a released lease is adopted at once', async () => {
      const [one, two] = (await under()).stores
      const session = fresh()
      const { lease } = await one.create(session, 'node-1', leaseMs, ownerMax)
      await one.release(keyOf(session), { ...lease, token: lease.token + 1 })
      assert.equal(await two.adopt(keyOf(session), 'node-2', leaseMs), undefined)
      await one.release(keyOf(session), lease)
      assert.notEqual(await two.adopt(keyOf(session), 'node-2', leaseMs), undefined)
    })

    test('hundreds of leases are renewed in one call, each answered in its place', async () => {
      const [one] = (await under()).stores
      const owners = Array.from({ length: 250 }, () => fresh())
      const renewals = []
      for (const session of owners) {
        const { lease } = await one.create(session, 'node-1', leaseMs, ownerMax)
        renewals.push({ key: keyOf(session), id: session.id, owner: session.owner, lease })
      }
      await one.remove(keyOf(owners[120]!), owners[120]!.id)
      const checks = await one.renew(renewals, leaseMs)
      assert.equal(checks.length, 250)
      checks.forEach((check, i) => assert.equal(check === undefined, i === 120, `lease ${i}`))
    })

    test('one reads at a time, and sees which membership it reads by', async () => {
      const { stores, pass } = await under()
      const [one, two] = stores
      const session = fresh()
      const key = keyOf(session)
      const { lease } = await one.create(session, 'node-1', leaseMs, ownerMax)
      await one.saveMembership(key, lease, membership(1))
      const began = expectFound(await one.beginRead(key, session.owner, 'r1', 200))
      assert.deepEqual(began.reader, { id: 'r1', sees: 1 })
      assert.equal(await two.beginRead(key, session.owner, 'r2', 200), 'busy')
      await one.saveMembership(key, lease, membership(2))
      assert.equal(await one.holdRead(key, 'r1', 200), true)
      assert.equal(expectFound(await two.find(key)).reader?.sees, 1, 'holding is no new look')
      const again = expectFound(await one.beginRead(key, session.owner, 'r1', 200))
      assert.equal(again.reader?.sees, 2)
      await two.endRead(key, 'r2')
      assert.equal(await two.beginRead(key, session.owner, 'r2', 200), 'busy')
      await one.endRead(key, 'r1')
      expectFound(await two.beginRead(key, session.owner, 'r2', 50))
      assert.equal(await one.holdRead(key, 'r1', 200), false)
      await pass(60)
      expectFound(await one.beginRead(key, session.owner, 'r3', 200))
      assert.equal(await two.holdRead(key, 'r2', 200), false, 'another took over')
    })

    test('saving positions can end the read in the same step', async () => {
      const [one] = (await under()).stores
      const session = fresh()
      const { version } = await one.create(session, 'node-1', leaseMs, ownerMax)
      await one.beginRead(keyOf(session), session.owner, 'r1', leaseMs)
      const other = await one.save(keyOf(session), version, session, 'r9')
      assert.equal(expectFound(other).reader?.id, 'r1')
      const saved = await one.save(keyOf(session), version + 1, session, 'r1')
      assert.equal(expectFound(saved).reader, null)
    })

    test('a session whose client is silent for its time to live can be expired, no sooner', async () => {
      const { stores, pass } = await under()
      const [one, two] = stores
      const session = fresh({ ttlMs: 400 })
      const key = keyOf(session)
      const { lease } = await one.create(session, 'node-1', leaseMs, ownerMax)
      await pass(250)
      assert.equal(await one.expire(key, lease), false)
      await two.find(key, session.owner)
      await pass(250)
      assert.equal(await one.expire(key, lease), false, 'a request renewed it')
      await two.beginRead(key, session.owner, 'r1', 2_000)
      await pass(410)
      assert.equal(await one.expire(key, lease), false, 'a read is under way')
      await two.endRead(key, 'r1')
      assert.equal(await one.expire(key, { ...lease, token: 9 }), false, 'not the lease holder')
      assert.equal(await one.expire(key, lease), true)
      assert.equal(await two.find(key), undefined)
      assert.equal(await one.expire(key, lease), false)
    })

    test('an adopter counts the time to live from its adoption', async () => {
      const { stores, pass } = await under()
      const session = fresh()
      await stores[0].create(session, 'node-1', 50, ownerMax)
      await pass(150)
      const adopted = expectFound(await stores[1].adopt(keyOf(session), 'node-2', leaseMs))
      assert.ok(adopted.idleMs < 150)
    })

    test('only the session that was meant is removed', async () => {
      const [one, two] = (await under()).stores
      const session = fresh()
      const { version, lease } = await one.create(session, 'node-1', leaseMs, ownerMax)
      assert.equal(await two.remove(keyOf(session), 's-older'), false)
      assert.equal(await two.remove(keyOf(session), session.id), true)
      assert.equal(await two.remove(keyOf(session), session.id), false)
      assert.equal(await one.save(keyOf(session), version, session), undefined)
      assert.equal(await one.saveMembership(keyOf(session), lease, membership(1)), false)
      assert.equal(await one.adopt(keyOf(session), 'node-1', leaseMs), undefined)
      await one.create({ ...session, id: 's-next' }, 'node-1', leaseMs, ownerMax)
    })
  })
}
