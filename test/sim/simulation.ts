/**
 * One simulated life of the embedded engine, drawn from one number: random work on a disk that loses
 * what was not synced, with crashes, kills and disk errors at any operation, in recovery too. After
 * each start an oracle reads everything and compares it with what had been promised.
 */
import { createHash } from 'node:crypto'
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { createEmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { pause } from '../../src/kit/clock.ts'
import { decodeSnapshot } from '../../src/engine/embedded/journal/snapshot.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { baseOffsetOf, lastOffsetOf } from '../../src/model/record-batch.ts'
import type { CommittedOffset } from '../../src/engine/groups.ts'
import type { TopicPartition } from '../../src/model/topic.ts'
import { SimClock } from '../support/sim-clock.ts'
import { SimDisk } from '../support/sim-disk.ts'
import { SimRandom } from '../support/sim-random.ts'
import { LatestValues, latestTopic } from './latest-values.ts'
import type { Intent } from './oracle.ts'
import { Oracle } from './oracle.ts'

const call = { timeoutMs: 30_000 }
const group = { groupId: 'g' }
/** A group whose offsets are committed without records. */
const alone = { groupId: 'alone' }
const memberGroup = 'members'
const memberId = '6f1f9a52-0d5c-4f7e-9d0f-3f2a0f6c1b77'
const names = ['orders', 'clicks', 'audit.log']
const partitions = 3

export interface SimulationReport {
  readonly trace: string
  readonly starts: number
  readonly crashes: number
  readonly acked: number
  readonly operations: number
}

export interface SimulationOptions {
  /** Lives of the process in this run. */
  readonly lives?: number
}

/** Runs the number; throws when a promise was broken. */
export async function simulate(
  number: number,
  options: SimulationOptions = {},
): Promise<SimulationReport> {
  const simulation = new Simulation(number)
  try {
    return await simulation.run(options.lives ?? 6)
  } catch (error) {
    throw new Error(`Simulated run ${number} broke a promise.`, { cause: error })
  }
}

/** One batch of a call, and what the oracle knows of it. */
interface Part {
  readonly tp: TopicPartition
  readonly topicId: string
  readonly batch: Uint8Array
  readonly intent: Intent
  readonly padding: string
}

interface KeyedRequest {
  readonly key: { readonly value: string; readonly space: string; readonly ttlMs: number }
  readonly parts: readonly Part[]
}

class Simulation {
  readonly #random: SimRandom
  readonly #clock = new SimClock()
  readonly #disk: SimDisk
  readonly #oracle = new Oracle()
  readonly #latest: LatestValues
  readonly #hash = createHash('sha256')
  readonly #hotTailBytes: number
  /** The disk operation at which this life ends; Infinity: it ends cleanly. */
  #endAt = Infinity
  #ended = false
  #fatal = false
  #faultAt = Infinity
  /** A snapshot is damaged and no start has made a new one since: one damage at a time. */
  #isDamaged = false
  /** What the member knows, as its session record would hold it. */
  #member: { readonly epoch: number; readonly owned: readonly TopicPartition[] } = {
    epoch: 0,
    owned: [],
  }
  /** The last keyed requests, answered or not: they are sent again, in later lives too. */
  readonly #keyed: KeyedRequest[] = []
  #starts = 0
  #crashes = 0

  constructor(number: number) {
    this.#random = new SimRandom(number)
    this.#latest = new LatestValues(this.#random, this.#clock)
    this.#hotTailBytes = this.#random.pick([0, 3000, 20_000, 600_000])
    this.#disk = new SimDisk({
      schedule: (run) => this.#clock.after(this.#random.unit() * this.#random.unit() * 3, run),
    })
    this.#disk.onOperation = (what, path) => this.#onOperation(what, path)
    this.#disk.faults.write = (_path, dsync) => (dsync ? this.#fault() : undefined)
    this.#disk.faults.sync = () => this.#fault()
  }

  async run(lives: number): Promise<SimulationReport> {
    for (let life = 0; life < lives; life++) await this.#live(life === lives - 1)
    return {
      trace: this.#hash.digest('hex'),
      starts: this.#starts,
      crashes: this.#crashes,
      acked: this.#oracle.ackedCount,
      operations: this.#disk.operations,
    }
  }

  /** One life of the process: open, check, work, end. The last one ends cleanly. */
  async #live(isLast: boolean): Promise<void> {
    this.#ended = false
    this.#fatal = false
    this.#faultAt = Infinity
    this.#endAt = isLast ? Infinity : this.#disk.operations + 1 + this.#random.below(450)
    if (!isLast && this.#random.chance(0.2)) {
      this.#faultAt = this.#disk.operations + this.#random.below(300)
    }
    const engine = this.#engine()
    this.#starts++
    if ((await this.#drive(engine.open())) !== 'done') return this.#end()
    this.#note('open')
    this.#isDamaged = false
    if ((await this.#drive(this.#check(engine))) !== 'done') return this.#end()
    const work = this.#work(engine, isLast ? 40 : 400)
    if ((await this.#drive(work)) !== 'done') return this.#end()
    if ((await this.#drive(engine.close())) !== 'done') return this.#end()
    this.#oracle.endLife()
    this.#clock.clear()
    if (isLast) await this.#checkThatNothingChanges()
  }

  /** A second recovery, and one after a clean stop, must find the same. */
  async #checkThatNothingChanges(): Promise<void> {
    for (const cut of ['crash', 'none']) {
      if (cut === 'crash') this.#disk.crash(() => this.#random.unit())
      const engine = this.#engine()
      await this.#must(engine.open())
      await this.#must(this.#check(engine))
      await this.#must(engine.close())
      this.#oracle.endLife()
      this.#clock.clear()
    }
    this.#oracle.checkFolders([...this.#disk.files().keys()], latestTopic)
  }

  #engine(): EmbeddedEngine {
    return createEmbeddedEngine({
      disk: this.#disk,
      clock: this.#clock,
      random: this.#random,
      logger: silentLogger,
      members: 'journal',
      hotTailBytes: this.#hotTailBytes,
      journalSizes: { firstFileBytes: 65_536, fileBytes: 65_536 },
      onFatal: () => {
        this.#fatal = true
      },
    })
  }

  /** The process is gone; by chance the machine with it. */
  #end(): void {
    this.#crashes++
    const isPowerCut = this.#random.chance(0.6)
    this.#note(isPowerCut ? 'crash' : 'kill')
    if (isPowerCut) this.#disk.crash(() => this.#random.unit())
    else this.#disk.kill(() => this.#random.unit())
    this.#clock.clear()
    this.#oracle.endLife()
    if (!this.#isDamaged && this.#random.chance(0.2)) this.#damageNewestSnapshot()
  }

  /** One damaged snapshot must do no harm: the older one was kept, with its journal. */
  #damageNewestSnapshot(): void {
    const whole = [...this.#disk.files().keys()].filter((path) => {
      return path.endsWith('.snapshot') && decodeSnapshot(this.#disk.bytesOf(path)) !== undefined
    })
    const newest = whole.sort().at(-1)
    if (newest === undefined || whole.length < 2) return
    const position = this.#random.below(this.#disk.bytesOf(newest).length)
    const byte = this.#disk.bytesOf(newest)[position]!
    this.#disk.damage(newest, position, Uint8Array.of(byte ^ (1 << this.#random.below(8))))
    this.#isDamaged = true
    this.#note(`damage ${newest}`)
  }

  #onOperation(what: string, path: string): void {
    this.#note(`${what} ${path}`)
    if (this.#disk.operations >= this.#endAt) this.#ended = true
  }

  #fault(): string | undefined {
    if (this.#disk.operations < this.#faultAt) return undefined
    this.#faultAt = Infinity
    return 'EIO'
  }

  #note(what: string): void {
    this.#hash.update(`${what}\n`)
  }

  /** Lets the simulated world go on until the promise is settled or the life is over. */
  async #drive(promise: Promise<void>): Promise<'done' | 'ended'> {
    let outcome: 'done' | 'failed' | undefined
    let failure: unknown
    promise.then(
      () => (outcome = 'done'),
      (error: unknown) => {
        outcome = 'failed'
        failure = error
      },
    )
    for (;;) {
      // The real next turn: every microtask of the engine has run before the next event.
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#ended || this.#fatal) return 'ended'
      if (outcome === 'done') return 'done'
      // A fault during a start makes it fail; the process ends then as well.
      if (outcome === 'failed' && isInjected(failure)) return 'ended'
      if (outcome === 'failed') throw failure
      if (!this.#clock.step()) throw new Error('Nothing happens any more: a promise hangs.')
    }
  }

  async #must(promise: Promise<void>): Promise<void> {
    this.#ended = this.#fatal = false
    this.#endAt = this.#faultAt = Infinity
    if ((await this.#drive(promise)) !== 'done')
      throw new Error('The engine gave up without cause.')
  }

  async #work(engine: EmbeddedEngine, steps: number): Promise<void> {
    const share = Math.ceil(steps / 8)
    const appenders = 1 + this.#random.below(6)
    await Promise.all([
      ...Array.from({ length: appenders }, () => this.#repeat(share, () => this.#append(engine))),
      this.#repeat(share, () => this.#transact(engine)),
      this.#repeat(share, () => this.#onceOrAgain(engine)),
      this.#repeat(share, () => this.#administer(engine)),
      this.#repeat(share * 2, () => this.#peek(engine)),
      this.#repeat(share, () => this.#commit(engine)),
      this.#repeat(share, () => this.#heartbeat(engine)),
      this.#repeat(share, () => this.#latest.step(engine)),
    ])
  }

  async #repeat(times: number, step: () => Promise<void>): Promise<void> {
    for (let i = 0; i < times; i++) {
      await step()
      if (this.#random.chance(0.3)) await pause(this.#clock, this.#random.unit() * 8)
    }
  }

  async #append(engine: EmbeddedEngine): Promise<void> {
    const intents = this.#intents(engine, 1 + this.#random.below(2), true)
    if (intents.length === 0) return
    const entries = intents.map(({ tp, topicId, batch }) => ({ tp, topicId, batch, trusted: true }))
    const results = await engine.log.append(entries, call)
    for (const [i, result] of results.entries()) {
      const intent = intents[i]!.intent
      if (result.offsets !== undefined) this.#oracle.acked(intent, result.offsets.base)
      else if (result.error?.applied === 'no') this.#oracle.refused(intent)
      this.#note(`append ${result.tp.topic}-${result.tp.partition} ${result.offsets?.base}`)
    }
  }

  async #transact(engine: EmbeddedEngine): Promise<void> {
    const intents = this.#intents(engine, 1 + this.#random.below(4), false)
    const first = intents[0]
    if (first === undefined) return
    const transaction = this.#oracle.transaction(intents.map(({ intent }) => intent))
    const commits = [
      { tp: first.tp, offset: transaction.number, metadata: `${transaction.number}` },
    ]
    try {
      const { results } = await engine.transactions.transact(
        {
          entries: intents.map(({ tp, topicId, batch }) => ({ tp, topicId, batch, trusted: true })),
          offsets: { group, commits },
        },
        call,
      )
      for (const [i, { offsets }] of results.entries()) {
        this.#oracle.acked(intents[i]!.intent, offsets!.base)
      }
      this.#oracle.committed(transaction, first.topicId, first.tp.partition)
      this.#note(`transact ${transaction.number}`)
    } catch (error) {
      if ((error as { applied?: string }).applied !== 'no') throw error
      for (const { intent } of intents) this.#oracle.refused(intent)
    }
  }

  /** A keyed request, or one of an earlier moment or life again, by chance twice at the same time. */
  async #onceOrAgain(engine: EmbeddedEngine): Promise<void> {
    const isAgain = this.#keyed.length > 0 && this.#random.chance(0.6)
    const request = isAgain ? this.#random.pick(this.#keyed) : this.#newKeyed(engine)
    if (request === undefined) return
    const { key, parts } = request
    const intents = parts.map(({ intent }) => intent)
    this.#oracle.retrying(intents)
    const send = async (): Promise<void> => {
      // The engine patches a batch, so every try has its own.
      const entries = parts.map((part) => ({ ...part, batch: this.#batchOf(part), trusted: true }))
      const answer = await engine.transactions.transact({ entries, key }, call)
      const { results, deduplicated } = answer
      this.#note(`once ${key.value} ${deduplicated} ${results[0]?.offsets?.base}`)
      for (const [i, { offsets }] of results.entries()) {
        this.#oracle.answered(intents[i]!, offsets!.base, deduplicated)
      }
    }
    try {
      await Promise.all(this.#random.chance(0.3) ? [send(), send()] : [send()])
    } catch (error) {
      if ((error as { applied?: string }).applied !== 'no') throw error
      for (const intent of intents) this.#oracle.refused(intent)
      this.#keyed.splice(this.#keyed.indexOf(request), 1)
    }
  }

  #newKeyed(engine: EmbeddedEngine): KeyedRequest | undefined {
    const parts = this.#intents(engine, 1 + this.#random.below(3), false)
    if (parts.length === 0) return undefined
    this.#oracle.transaction(
      parts.map(({ intent }) => intent),
      false,
    )
    const value = `key ${parts[0]!.intent.id}`
    const request = { key: { value, space: 's', ttlMs: 24 * 3_600_000 }, parts }
    this.#keyed.push(request)
    if (this.#keyed.length > 12) this.#keyed.shift()
    return request
  }

  /** Commits of one partition rise, so that the oracle can tell an older one. */
  async #commit(engine: EmbeddedEngine): Promise<void> {
    const topic = this.#random.pick(names)
    const topicId = engine.topics.known(topic)?.id
    if (topicId === undefined) return
    const tp = { topic, partition: this.#random.below(partitions) }
    const offset = this.#oracle.nextCommit()
    const [result] = await engine.groups.commit(alone, [{ tp, topicId, offset }], call)
    this.#note(`commit ${topic}-${tp.partition} ${offset} ${result!.error?.code}`)
    if (result!.error === undefined) this.#oracle.committedAlone(topicId, tp.partition, offset)
  }

  /** One member that outlives the process: its epoch never goes back. */
  async #heartbeat(engine: EmbeddedEngine): Promise<void> {
    const { epoch, owned } = this.#member
    const joining =
      epoch === 0 ? { subscription: { topics: names }, rebalanceTimeoutMs: 60_000 } : {}
    const beat = { groupId: memberGroup, memberId, memberEpoch: epoch }
    try {
      const answer = await engine.groups.heartbeat(beat, { ...call, ...joining, owned })
      this.#oracle.joined(answer.memberEpoch)
      this.#member = { epoch: answer.memberEpoch, owned: answer.assignment ?? owned }
      this.#note(`heartbeat ${answer.memberEpoch} ${answer.assignment?.length}`)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code !== 'FENCED_MEMBER_EPOCH') throw error
      // The answer that carried the last epoch was lost with the process.
      this.#member = { epoch: 0, owned: [] }
    }
  }

  async #administer(engine: EmbeddedEngine): Promise<void> {
    const dice = this.#random.unit()
    const name = this.#random.pick(names)
    if (dice < 0.4) return engine.checkpoint()
    if (dice < 0.48) return this.#trim(engine, name)
    if (dice < 0.54) return this.#retain(engine)
    const isThere = engine.topics.known(name) !== undefined
    if (isThere && dice < 0.8) return
    this.#oracle.changing(name)
    const config = {
      'segment.bytes': String(this.#random.pick([300, 1000, 5000])),
      'retention.bytes': this.#random.pick(['-1', '-1', '1500', '6000']),
      'file.delete.delay.ms': this.#random.pick(['0', '20']),
    }
    const [outcome] = isThere
      ? await engine.topics.delete([name], call)
      : await engine.topics.create([{ name, partitions, config }], call)
    if (outcome!.error !== undefined) throw outcome!.error
    this.#oracle.changed(name, engine.topics.known(name)?.id)
    this.#note(`${isThere ? 'delete' : 'create'} ${name}`)
  }

  /** By size, because lives are short. How far it goes is the engine's; that it stays so is promised. */
  async #retain(engine: EmbeddedEngine): Promise<void> {
    const under = names.flatMap((topic) => {
      const topicId = engine.topics.known(topic)?.id
      if (topicId === undefined) return []
      return Array.from({ length: partitions }, (_, partition) => ({ topic, topicId, partition }))
    })
    for (const { topicId, partition } of under) this.#oracle.retaining(topicId, partition)
    await engine.retain()
    for (const { topic, topicId, partition } of under) {
      const [start] = await engine.log.offsets([{ tp: { topic, partition }, at: 'earliest' }], call)
      if (start!.error !== undefined) throw start!.error
      this.#oracle.retained(topicId, partition, start!.offset)
    }
    this.#note('retain')
  }

  async #trim(engine: EmbeddedEngine, topic: string): Promise<void> {
    const topicId = engine.topics.known(topic)?.id
    if (topicId === undefined) return
    const tp = { topic, partition: this.#random.below(partitions) }
    const [end] = await engine.log.offsets([{ tp, at: 'latest' }], call)
    const before = Math.floor(end!.offset * this.#random.unit())
    if (end!.error !== undefined || engine.topics.known(topic)?.id !== topicId) return
    this.#oracle.trimming(topicId, tp.partition, before)
    const [result] = await engine.log.deleteRecords([{ tp, before }], call)
    if (result!.error === undefined && engine.topics.known(topic)?.id === topicId) {
      this.#oracle.trimmed(topicId, tp.partition, result!.logStart)
    }
  }

  /** A reader at any moment: what it is shown must still be there after any crash. */
  #peek(engine: EmbeddedEngine): Promise<void> {
    const dice = this.#random.unit()
    if (dice < 0.1) return this.#peekAtCommits(engine)
    if (dice < 0.2) return this.#peekAtTopics(engine)
    return this.#peekAtRecords(engine)
  }

  async #peekAtCommits(engine: EmbeddedEngine): Promise<void> {
    for (const { tp, topicId, offset } of await engine.groups.committed(alone, 'all', call)) {
      this.#oracle.committedAlone(topicId!, tp.partition, offset)
    }
  }

  async #peekAtTopics(engine: EmbeddedEngine): Promise<void> {
    const topics = await ownTopics(engine)
    this.#oracle.listed(new Map(topics.map(({ name, id }) => [name, id])))
  }

  async #peekAtRecords(engine: EmbeddedEngine): Promise<void> {
    const topic = this.#random.pick(names)
    const topicId = engine.topics.known(topic)?.id
    if (topicId === undefined) return
    const tp = { topic, partition: this.#random.below(partitions) }
    const [end] = await engine.log.offsets([{ tp, at: 'latest' }], call)
    const from = this.#random.below(end!.offset + 1)
    const [slice] = await engine.log.fetch([{ tp, from, bytesMax: 700, topicId }], {
      ...call,
      bytesMax: 700,
    })
    const code = slice!.error?.code
    if (code === 'UNKNOWN_TOPIC' || code === 'EPOCH_MISMATCH' || code === 'OFFSET_OUT_OF_RANGE')
      return
    if (slice!.error !== undefined) throw slice!.error
    for (const batch of slice!.batches) this.#oracle.seen(topicId, tp.partition, batch)
    if (from < slice!.readableEnd && slice!.batches.length === 0) {
      throw new Error(`Nothing at ${from} although the readable end is ${slice!.readableEnd}.`)
    }
  }

  /** Undefined: the group or the member does not exist. */
  async #memberEpoch(engine: EmbeddedEngine): Promise<number | undefined> {
    const groups = await engine.groups.list(call)
    if (!groups.some(({ groupId }) => groupId === memberGroup)) return undefined
    const { members } = await engine.groups.describe(memberGroup, call)
    return members.find((member) => member.memberId === memberId)?.memberEpoch
  }

  #intents(engine: EmbeddedEngine, count: number, isDistinct: boolean): Part[] {
    const intents: Part[] = []
    const taken = new Set<string>()
    for (let i = 0; i < count; i++) {
      const topic = this.#random.pick(names)
      const topicId = engine.topics.known(topic)?.id
      const tp: TopicPartition = { topic, partition: this.#random.below(partitions) }
      const key = `${topic}-${tp.partition}`
      if (topicId === undefined || (isDistinct && taken.has(key))) continue
      taken.add(key)
      const records = 1 + this.#random.below(3)
      const intent = this.#oracle.intend(topicId, tp.partition, records)
      const padding = 'x'.repeat(this.#random.pick([0, 10, 100, 600]))
      const batch = this.#batchOf({ intent, padding })
      intents.push({ tp, topicId, batch, intent, padding })
    }
    return intents
  }

  #batchOf({ intent, padding }: Pick<Part, 'intent' | 'padding'>): Uint8Array {
    return writeBatch(
      Array.from({ length: intent.records }, (_, number) => ({
        key: null,
        value: Buffer.from(`${intent.id}/${number}/${padding}`),
        headers: [],
      })),
      this.#clock.wallMs(),
    )
  }

  /** Reads everything and compares it with what was promised. */
  async #check(engine: EmbeddedEngine): Promise<void> {
    const topics = await ownTopics(engine)
    this.#oracle.checkTopics(new Map(topics.map(({ name, id }) => [name, id])))
    for (const { name, id } of topics) {
      for (let partition = 0; partition < partitions; partition++) {
        const tp = { topic: name, partition }
        const [start] = await engine.log.offsets([{ tp, at: 'earliest' }], call)
        this.#oracle.checkPartition(
          id,
          partition,
          start!.offset,
          await readAll(engine, tp, start!.offset),
        )
      }
    }
    const commits = await engine.groups.committed(group, 'all', call)
    const ids = new Map(topics.map(({ name, id }) => [name, id]))
    const byPartition = (found: readonly CommittedOffset[]): Map<string, number> =>
      new Map(found.map(({ tp, offset }) => [`${ids.get(tp.topic)}-${tp.partition}`, offset]))
    this.#oracle.checkCommits(byPartition(commits))
    this.#oracle.checkAlone(byPartition(await engine.groups.committed(alone, 'all', call)))
    this.#oracle.checkMember(await this.#memberEpoch(engine))
    await this.#latest.check(engine)
  }
}

/** Without those that the engine makes for itself. */
async function ownTopics(engine: EmbeddedEngine) {
  const topics = await engine.topics.list('all', call)
  return topics.filter(({ internal, name }) => !internal && name !== latestTopic)
}

async function readAll(engine: EmbeddedEngine, tp: TopicPartition, logStart: number) {
  const records: { offset: number; value: string }[] = []
  let from = logStart
  let expected: number | undefined
  for (;;) {
    const [slice] = await engine.log.fetch([{ tp, from, bytesMax: 2000 }], {
      ...call,
      bytesMax: 2000,
    })
    if (slice!.error !== undefined) throw slice!.error
    if (slice!.batches.length === 0) break
    for (const batch of slice!.batches) {
      if (expected !== undefined && baseOffsetOf(batch) !== expected) {
        throw new Error(`Batch ${baseOffsetOf(batch)} follows offset ${expected - 1}.`)
      }
      expected = lastOffsetOf(batch) + 1
      for (const { offset, value } of readRecords(batch)) {
        records.push({ offset, value: Buffer.from(value!).toString() })
      }
    }
    from = slice!.next
  }
  return records
}

/** The start failed because of the error that the run itself put in its way. */
function isInjected(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'EIO'
}
