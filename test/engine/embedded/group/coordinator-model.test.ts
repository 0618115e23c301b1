/**
 * Random clients against the coordinator, held to the invariants that users rely on:
 * G1 one owner per partition, from assignment to acknowledged revocation, leave or removal ·
 * G2 in the end everything is owned · G3 commits move only what the member holds ·
 * G4 a restart is no rebalance · G5 repeated calls and lost answers are harmless, refused calls change
 * nothing · G6 a removed member comes back under its id · G7 epochs never go back.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GroupCoordinator } from '../../../../src/engine/embedded/group/coordinator.ts'
import type {
  CommittedOffset,
  HeartbeatAnswer,
  Member,
  Subscription,
} from '../../../../src/engine/groups.ts'
import { silentLogger } from '../../../../src/kit/logger.ts'
import type { ErrorCode } from '../../../../src/model/errors.ts'
import { GatewayError } from '../../../../src/model/errors.ts'
import type { TopicPartition } from '../../../../src/model/topic.ts'
import { MapCatalog, TurnJournal } from '../../../support/group-fixture.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const groupId = 'g'
const call = { timeoutMs: 5_000 }
const runs = 200
const stepsPerRun = 80

/** A consumer as it sees itself. */
interface Client {
  memberId: string
  instanceId: string | undefined
  epoch: number
  subscription: Subscription
  /** Partitions that it delivers from. */
  owned: Map<string, TopicPartition>
  /** What the last answer told it to give back, and it has not yet. */
  toRelease: Set<string>
  /** After a join, an error or a lost answer. */
  needsFull: boolean
  isMember: boolean
  isDead: boolean
  /** What every answer said, lost ones too: the epoch and the topic id each partition came with. */
  granted: Map<string, { readonly epoch: number; readonly topicId: string }>
  /** Epochs it once had: what a node still sends that lost the session. */
  pastEpochs: number[]
  lastTold?: Set<string>
}

const dayMs = 24 * 3_600_000

for (const members of ['memory', 'journal'] as const) {
  test(`groups keep their promises under random clients, members in ${members}`, async () => {
    const given = process.env['EBBGATE_TEST_SEED']
    const seeds =
      given === undefined ? Array.from({ length: runs }, (_, i) => i + 1) : [Number(given)]
    for (const seed of seeds) {
      try {
        await new Drive(seed, members).run()
      } catch (cause) {
        throw new Error(`Seed ${seed} fails; run again with EBBGATE_TEST_SEED=${seed}.`, { cause })
      }
    }
  })
}

class Drive {
  readonly #random: () => number
  readonly #members: 'memory' | 'journal'
  readonly #clock = new ManualClock()
  readonly #journal = new TurnJournal()
  readonly #catalog = new MapCatalog()
  #coordinator: GroupCoordinator
  readonly #clients: Client[] = []
  #made = 0
  #groupEpoch = 0
  #assignmentEpoch = 0

  constructor(seed: number, members: 'memory' | 'journal') {
    this.#random = mulberry(seed)
    this.#members = members
    this.#coordinator = this.#newCoordinator()
    this.#coordinator.open()
    this.#catalog.create('a', 1 + this.#below(4))
    this.#catalog.create('b', 1 + this.#below(4))
  }

  async run(): Promise<void> {
    for (let i = 0; i < stepsPerRun; i++) {
      await this.#step()
      await this.#checkBooks()
    }
    await this.#converge()
    await this.#coordinator.close()
  }

  async #step(): Promise<void> {
    const client = this.#pick(this.#clients.filter(({ isDead }) => !isDead))
    const roll = this.#below(100)
    if (client === undefined || (roll < 8 && this.#clients.length < 8)) return this.#joinNew()
    if (roll < 40) return this.#heartbeat(client, { lose: this.#below(5) === 0 })
    if (roll < 52) return this.#acknowledge(client)
    if (roll < 60) return this.#repeat(client)
    if (roll < 72) return this.#commit(client)
    if (roll < 76) return this.#wrongEpoch(client)
    if (roll < 80) return this.#leave(client)
    if (roll < 84) return this.#changeSubscription(client)
    if (roll < 87) return this.#changeTopics()
    if (roll < 89) {
      client.isDead = true
      return
    }
    if (roll < 92) return this.#restart()
    if (roll < 95) return this.#zombie(client)
    if (roll < 96 && this.#below(4) === 0) return this.#desert()
    if (roll < 97) return this.#clock.jumpWall((this.#below(2) === 0 ? 10 : -10) * 365 * dayMs)
    return this.#advance(1 + this.#below(20_000))
  }

  async #joinNew(): Promise<void> {
    const slots = this.#clients.filter(
      ({ isDead, instanceId }) => isDead && instanceId !== undefined,
    )
    const back = this.#below(3) === 0 ? this.#pick(slots) : undefined
    const isStatic = this.#below(4) === 0
    const name = `m${++this.#made}`
    const client: Client = {
      memberId: name,
      instanceId: back?.instanceId ?? (isStatic ? `static-${name}` : undefined),
      epoch: 0,
      subscription: this.#subscription(),
      owned: new Map(),
      toRelease: new Set(),
      needsFull: true,
      isMember: false,
      isDead: false,
      granted: new Map(),
      pastEpochs: [],
    }
    this.#clients.push(client)
    await this.#heartbeat(client, { lose: false })
  }

  /** What a member sends: always full where it must be, otherwise as much or little as it likes. */
  #request(client: Client): Parameters<GroupCoordinator['heartbeat']> {
    const { memberId, instanceId, epoch, subscription } = client
    const fence = { groupId, memberId, memberEpoch: epoch }
    const isFull = client.needsFull || epoch === 0
    return [
      instanceId === undefined ? fence : { ...fence, instanceId },
      {
        ...call,
        ...(isFull ? { subscription, rebalanceTimeoutMs: 30_000 } : {}),
        ...(isFull || this.#below(2) === 0 ? { owned: [...client.owned.values()] } : {}),
      },
    ]
  }

  async #heartbeat(client: Client, { lose }: { lose: boolean }): Promise<void> {
    const answer = await this.#send(client, this.#request(client))
    if (answer === undefined) return
    client.isMember = true
    // A lost answer leaves the client where it was; it knows only that it must be thorough.
    if (lose) client.needsFull = true
    else this.#take(client, answer)
  }

  async #send(
    client: Client,
    request: Parameters<GroupCoordinator['heartbeat']>,
  ): Promise<HeartbeatAnswer | undefined> {
    try {
      const answer = await this.#coordinator.heartbeat(...request)
      // A join begins with nothing, whatever an answer that got lost had granted.
      if (request[0].memberEpoch === 0) {
        client.granted.clear()
        delete client.lastTold
      }
      await this.#noteGrants(client, answer)
      return answer
    } catch (error) {
      const code = codeOf(error)
      assert.ok(
        ['UNKNOWN_MEMBER', 'INSTANCE_IN_USE', 'INSTANCE_FENCED'].includes(code),
        `a well-behaved client was told ${code}`,
      )
      if (code === 'UNKNOWN_MEMBER') {
        assert.ok(!(await this.#registered()).has(client.memberId))
        this.#lost(client)
      } else {
        client.isDead = true
        client.owned.clear()
      }
      return undefined
    }
  }

  /** The reference for commits: what a member holds, and since which epoch. */
  async #noteGrants(client: Client, { memberEpoch, assignment }: HeartbeatAnswer): Promise<void> {
    const held = (await this.#registered()).get(client.memberId) ?? new Set<string>()
    for (const name of client.granted.keys()) if (!held.has(name)) client.granted.delete(name)
    const told = new Set(assignment?.map(nameOf))
    for (const tp of assignment ?? []) {
      const name = nameOf(tp)
      const topicId = this.#catalog.topic(tp.topic)?.id ?? ''
      const known = client.granted.get(name)
      // Away from the assignment and back in it is a new assignment.
      if (known === undefined || client.lastTold?.has(name) === false) {
        client.granted.set(name, { epoch: memberEpoch, topicId })
      }
    }
    if (assignment !== undefined) client.lastTold = told
  }

  #take(client: Client, { memberEpoch, assignment }: HeartbeatAnswer): void {
    assert.ok(memberEpoch >= client.epoch, 'G7: a member epoch went back')
    if (client.epoch !== memberEpoch) client.pastEpochs.push(client.epoch)
    client.epoch = memberEpoch
    client.needsFull = false
    if (assignment === undefined) return
    const told = new Map(assignment.map((tp) => [nameOf(tp), tp]))
    client.toRelease = new Set([...client.owned.keys()].filter((name) => !told.has(name)))
    for (const [name, tp] of told) {
      if (client.owned.has(name)) continue
      for (const other of this.#clients) {
        const holds = other !== client && other.isMember && other.owned.has(name)
        assert.ok(!holds, `G1: ${name} went to ${client.memberId} while ${other.memberId} has it`)
      }
      client.owned.set(name, tp)
    }
  }

  /** Stops delivering from what it must give back, then says so. */
  async #acknowledge(client: Client): Promise<void> {
    if (!client.isMember || client.epoch === 0) return
    for (const name of client.toRelease) client.owned.delete(name)
    client.toRelease.clear()
    client.needsFull = true
    await this.#heartbeat(client, { lose: this.#below(6) === 0 })
  }

  async #repeat(client: Client): Promise<void> {
    client.needsFull = true
    const request = this.#request(client)
    const first = await this.#send(client, request)
    if (first === undefined) return
    client.isMember = true
    const before = await this.#books()
    const second = await this.#send(client, request)
    assert.deepEqual(
      sorted(second),
      sorted(first),
      'G5: a repeated heartbeat was answered otherwise',
    )
    assert.deepEqual(await this.#books(), before, 'G5: a repeated heartbeat changed something')
    this.#take(client, first)
  }

  async #commit(client: Client): Promise<void> {
    const topic = this.#pick([...this.#catalog.topics()])
    if (topic === undefined || client.epoch === 0) return
    const tp = { topic: topic.name, partition: this.#below(topic.partitions) }
    const { memberId, instanceId } = client
    const skew = this.#below(3) === 0 ? this.#below(5) - 2 : 0
    const memberEpoch = Math.max(0, client.epoch + skew)
    const ref = {
      groupId,
      memberId,
      memberEpoch,
      ...(instanceId === undefined ? {} : { instanceId }),
    }
    const before = await this.#committed(tp)
    const described = await this.#registered()
    const { members } = await this.#books()
    const bookEpoch = members.find((member) => member.memberId === memberId)?.memberEpoch
    const offset = 1 + this.#below(1_000_000)
    const granted = client.granted.get(nameOf(tp))
    const expected =
      bookEpoch !== undefined &&
      granted !== undefined &&
      described.get(memberId)?.has(nameOf(tp)) === true &&
      granted.topicId === topic.id &&
      granted.epoch <= memberEpoch &&
      memberEpoch <= bookEpoch
    const error = await this.#sendCommit(ref, { tp, offset })
    assert.equal(
      error === undefined,
      expected,
      `G3: a commit of ${memberId} for ${nameOf(tp)} at epoch ${memberEpoch}, granted at ${granted?.epoch}, member at ${bookEpoch}: ${error}`,
    )
    const after = await this.#committed(tp)
    const name = nameOf(tp)
    if (error === undefined) {
      assert.equal(after, offset)
      assert.ok(memberEpoch <= (bookEpoch ?? -1), 'G3: an epoch of the future moved an offset')
      assert.ok(
        described.get(memberId)?.has(name),
        `G3: ${memberId} moved ${name} without holding it`,
      )
    } else {
      assert.equal(after, before, `G3: a refused commit (${error}) moved ${name}`)
      const isGood =
        client.isMember &&
        client.owned.has(name) &&
        memberEpoch === client.epoch &&
        described.get(memberId)?.has(name) === true &&
        error !== 'EPOCH_MISMATCH'
      assert.ok(!isGood, `G3: a good commit for ${name} was refused with ${error}`)
    }
  }

  /** As a call of its own, or as part of a transaction. */
  async #sendCommit(ref: Member, commit: CommittedOffset): Promise<string | undefined> {
    if (this.#below(3) === 0) {
      const problem = this.#coordinator.checkCommit(ref, [commit])
      if (problem !== undefined) return problem.code
      await this.#journal.write([this.#coordinator.stageCommit(ref, [commit])])
      return undefined
    }
    try {
      const [result] = await this.#coordinator.commit(ref, [commit], call)
      return result?.error?.code
    } catch (thrown) {
      return codeOf(thrown)
    }
  }

  /** A node that lost the session goes on keeping it alive with what it knew. */
  async #zombie(client: Client): Promise<void> {
    const memberEpoch = this.#pick(client.pastEpochs)
    if (memberEpoch === undefined || memberEpoch === 0) return
    const { memberId, instanceId } = client
    const before = await this.#books()
    const now = before.members.find((member) => member.memberId === memberId)?.memberEpoch
    const fence = { groupId, memberId, memberEpoch }
    try {
      const member = instanceId === undefined ? fence : { ...fence, instanceId }
      await this.#noteGrants(client, await this.#coordinator.heartbeat(member, call))
      assert.equal(memberEpoch, now, 'G5: an epoch of the past was taken for the present one')
      client.needsFull = true
    } catch (error) {
      const codes = ['FENCED_MEMBER_EPOCH', 'UNKNOWN_MEMBER', 'INSTANCE_FENCED']
      assert.ok(codes.includes(codeOf(error)))
      assert.deepEqual(await this.#books(), before, 'G5: a refused zombie changed something')
    }
  }

  /** All fall silent; a week later their offsets are gone, and not before. */
  async #desert(): Promise<void> {
    await this.#advance(46_000)
    const offsets = await this.#coordinator.committed({ groupId }, 'all', call)
    this.#journal.timeMs += 7 * dayMs - 600_000
    await this.#advance(600_000)
    await this.#quiet()
    assert.deepEqual(await this.#coordinator.committed({ groupId }, 'all', call), offsets)
    this.#journal.timeMs += 700_000
    await this.#advance(600_000)
    await this.#quiet()
    assert.deepEqual(await this.#coordinator.committed({ groupId }, 'all', call), [])
  }

  async #quiet(): Promise<void> {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  async #wrongEpoch(client: Client): Promise<void> {
    const before = await this.#books()
    const written = this.#journal.entries.length
    const memberEpoch = client.epoch + 1 + this.#below(5)
    const { memberId } = client
    await assert.rejects(
      this.#coordinator.heartbeat({ groupId, memberId, memberEpoch: memberEpoch + 1_000 }, call),
      (error) => ['FENCED_MEMBER_EPOCH', 'UNKNOWN_MEMBER'].includes(codeOf(error)),
    )
    assert.deepEqual(await this.#books(), before, 'G5: a refused call changed something')
    assert.equal(this.#journal.entries.length, written)
  }

  async #leave(client: Client): Promise<void> {
    if (!client.isMember) return
    const { memberId, instanceId, epoch } = client
    const fence = { groupId, memberId, memberEpoch: epoch }
    const keepSlot = instanceId !== undefined && this.#below(2) === 0
    client.owned.clear()
    client.isDead = true
    try {
      const member = instanceId === undefined ? fence : { ...fence, instanceId }
      await this.#coordinator.leave(member, { ...call, keepSlot })
    } catch (error) {
      assert.ok(['UNKNOWN_MEMBER', 'INSTANCE_FENCED'].includes(codeOf(error)))
    }
    client.isMember = false
  }

  async #changeSubscription(client: Client): Promise<void> {
    client.subscription = this.#subscription()
    client.needsFull = true
    await this.#heartbeat(client, { lose: false })
  }

  async #changeTopics(): Promise<void> {
    const name = this.#pick(['a', 'b', 'c', 'd'])!
    const topic = this.#catalog.topic(name)
    if (topic === undefined) this.#catalog.create(name, 1 + this.#below(4))
    else if (this.#below(2) === 0) this.#catalog.grow(name, topic.partitions + 1)
    else {
      this.#catalog.delete(name)
      for (let partition = 0; partition < topic.partitions; partition++) {
        assert.equal(await this.#committed({ topic: name, partition }), undefined)
      }
      if (this.#below(2) === 0) {
        this.#catalog.create(name, 1 + this.#below(4))
        assert.equal(await this.#committed({ topic: name, partition: 0 }), undefined)
      }
    }
  }

  async #restart(): Promise<void> {
    const before = await this.#books()
    const offsets = await this.#coordinator.committed({ groupId }, 'all', call)
    const from = this.#below(2) === 0 ? this.#journal.entries.length : 0
    const snapshots = this.#coordinator.machines.map((machine) => machine.snapshot())
    await this.#coordinator.close()
    this.#coordinator = this.#newCoordinator()
    const { machines } = this.#coordinator
    // A replay from the first entry meets topics that are gone, which are no part of this catalog's
    // journal; so offsets always come from the snapshot, members from either.
    machines.forEach((machine, i) => {
      if (from > 0 || i === 0) machine.restore(snapshots[i]!)
      else this.#journal.replay([machine])
    })
    this.#coordinator.open()
    assert.deepEqual(await this.#coordinator.committed({ groupId }, 'all', call), offsets)
    if (this.#members === 'journal') {
      assert.deepEqual(await this.#books(), before, 'G4: a restart changed members or epochs')
      return
    }
    this.#groupEpoch = 0
    this.#assignmentEpoch = 0
    for (const client of this.#clients) this.#lost(client)
  }

  async #advance(ms: number): Promise<void> {
    this.#clock.advance(ms)
    const registered = await this.#registered()
    for (const client of this.#clients) {
      if (client.isMember && !registered.has(client.memberId)) this.#lost(client)
    }
  }

  /** The member was removed: it owns nothing, and joins again under its id. */
  #lost(client: Client): void {
    client.owned.clear()
    client.toRelease.clear()
    client.granted.clear()
    delete client.lastTold
    client.epoch = 0
    client.needsFull = true
    client.isMember = false
  }

  /** G2: well-behaved clients end up owning everything, in a second where hints are followed. */
  async #converge(): Promise<void> {
    await this.#advance(46_000)
    let hinted = true
    this.#coordinator.watch(groupId, () => (hinted = true))
    for (let round = 0; hinted; round++) {
      assert.ok(round < 40, 'G2: hints without end')
      hinted = false
      // Who must give back may come before or after who waits for it.
      const order = round % 2 === 0 ? this.#clients : [...this.#clients].reverse()
      for (const client of order) {
        if (client.isDead) continue
        if (client.epoch === 0) await this.#heartbeat(client, { lose: false })
        else await this.#acknowledge(client)
        // A lost answer is asked for again, and what an answer took away is given back at once.
        if (!client.isDead && (client.needsFull || client.toRelease.size > 0)) hinted = true
      }
      await this.#quiet()
    }
    const registered = await this.#registered()
    const places = new Set([...registered.values()].flatMap((held) => [...held]))
    for (const client of this.#clients) {
      if (client.isDead) continue
      const described = registered.get(client.memberId)
      assert.deepEqual([...client.owned.keys()].sort(), [...(described ?? [])].sort())
      for (const topic of this.#catalog.topics()) {
        if (!isSubscribed(client.subscription, topic.name)) continue
        for (let p = 0; p < topic.partitions; p++) {
          assert.ok(places.has(`${topic.name}/${p}`), `G2: nobody owns ${topic.name}/${p}`)
        }
      }
    }
  }

  /** G1 and G7 as the coordinator itself tells them. */
  async #checkBooks(): Promise<void> {
    const { groupEpoch, assignmentEpoch, members } = await this.#books()
    assert.ok(
      groupEpoch >= this.#groupEpoch || members.length === 0,
      'G7: the group epoch went back',
    )
    assert.ok(assignmentEpoch >= this.#assignmentEpoch || members.length === 0)
    this.#groupEpoch = groupEpoch
    this.#assignmentEpoch = assignmentEpoch
    const owners = new Map<string, string>()
    for (const { memberId, assignment, memberEpoch } of members) {
      assert.ok(memberEpoch <= groupEpoch)
      for (const name of assignment) {
        assert.equal(owners.get(name), undefined, `G1: ${name} has two owners`)
        owners.set(name, memberId)
      }
    }
  }

  async #books(): Promise<{
    groupEpoch: number
    assignmentEpoch: number
    members: { memberId: string; memberEpoch: number; assignment: string[]; target: string[] }[]
  }> {
    try {
      const group = await this.#coordinator.describe(groupId, call)
      const members = group.members.map(({ memberId, memberEpoch, assignment, target }) => ({
        memberId,
        memberEpoch: memberEpoch ?? 0,
        assignment: assignment.map(nameOf).sort(),
        target: (target ?? []).map(nameOf).sort(),
      }))
      members.sort((x, y) => (x.memberId < y.memberId ? -1 : 1))
      const { groupEpoch = 0, assignmentEpoch = 0 } = group
      return { groupEpoch, assignmentEpoch, members }
    } catch (error) {
      assert.equal(codeOf(error), 'UNKNOWN_GROUP')
      return { groupEpoch: 0, assignmentEpoch: 0, members: [] }
    }
  }

  async #registered(): Promise<Map<string, Set<string>>> {
    const { members } = await this.#books()
    return new Map(members.map(({ memberId, assignment }) => [memberId, new Set(assignment)]))
  }

  async #committed(tp: TopicPartition): Promise<number | undefined> {
    const [found] = await this.#coordinator.committed({ groupId }, [tp], call)
    return found?.offset
  }

  #subscription(): Subscription {
    const roll = this.#below(4)
    if (roll === 0) return { pattern: '[a-c]' }
    return { topics: roll === 1 ? ['a', 'b'] : roll === 2 ? ['a'] : ['b', 'c'] }
  }

  #newCoordinator(): GroupCoordinator {
    return new GroupCoordinator({
      journal: this.#journal,
      catalog: this.#catalog,
      clock: this.#clock,
      logger: silentLogger,
      members: this.#members,
    })
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[this.#below(items.length)]
  }
}

function isSubscribed(subscription: Subscription, topic: string): boolean {
  if ('topics' in subscription) return subscription.topics.includes(topic)
  return ['a', 'b', 'c'].includes(topic)
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function sorted(answer: HeartbeatAnswer | undefined): unknown {
  return { ...answer, assignment: answer?.assignment?.map(nameOf).sort() }
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof GatewayError) return error.code
  throw error
}

/** A small generator whose whole state is one number (mulberry32). */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
