/**
 * What was promised: kept outside of the engine under test, compared with what it has after a start.
 * A call without an answer is neither done nor not done; the next start decides, and stays decided.
 */
import assert from 'node:assert/strict'
import { readRecords } from '../../src/model/batch-reader.ts'

export interface Intent {
  readonly id: number
  readonly topicId: string
  readonly partition: number
  readonly records: number
  offset: number | undefined
  outcome: 'pending' | 'done' | 'refused' | 'absent'
  transaction: Transaction | undefined
}

export interface Transaction {
  readonly number: number
  readonly intents: readonly Intent[]
  /** Its number was committed with it. */
  readonly hasCommit: boolean
}

interface PartitionPromise {
  logStart: number
  /** A log start that was asked for and not answered. */
  logStartAsked: number
  /** What readers were shown. */
  readonly shown: Map<number, string>
  commit: number
}

export class Oracle {
  readonly #intents: Intent[] = []
  readonly #transactions: Transaction[] = []
  readonly #partitions = new Map<string, PartitionPromise>()
  /** Topic ids by name; `changing` names may have become anything. */
  readonly #topics = new Map<string, string>()
  readonly #changing = new Set<string>()
  readonly #deleted = new Set<string>()
  /** Offsets committed without records, by topic id and partition. */
  readonly #commits = new Map<string, number>()
  #lastCommit = 0
  #memberEpoch = 0

  get ackedCount(): number {
    return this.#intents.filter(({ outcome }) => outcome === 'done').length
  }

  intend(topicId: string, partition: number, records: number): Intent {
    const intent: Intent = {
      id: this.#intents.length,
      topicId,
      partition,
      records,
      offset: undefined,
      outcome: 'pending',
      transaction: undefined,
    }
    this.#intents.push(intent)
    return intent
  }

  transaction(intents: readonly Intent[], hasCommit = true): Transaction {
    const transaction = { number: this.#transactions.length + 1, intents, hasCommit }
    this.#transactions.push(transaction)
    for (const intent of intents) intent.transaction = transaction
    return transaction
  }

  acked(intent: Intent, offset: number): void {
    intent.outcome = 'done'
    intent.offset = offset
  }

  /** A keyed request is sent again: what was lost with an earlier life may come to be. */
  retrying(intents: readonly Intent[]): void {
    for (const intent of intents) if (intent.outcome === 'absent') intent.outcome = 'pending'
  }

  /** A keyed request happens once, and is always answered as it was first. */
  answered(intent: Intent, offset: number, deduplicated: boolean): void {
    if (intent.outcome === 'done') {
      assert.ok(deduplicated, `keyed request ${intent.id} was stored twice`)
      assert.equal(offset, intent.offset, `keyed request ${intent.id} was answered otherwise`)
    }
    this.acked(intent, offset)
  }

  refused(intent: Intent): void {
    intent.outcome = 'refused'
  }

  committed({ number }: Transaction, topicId: string, partition: number): void {
    const promise = this.#promise(topicId, partition)
    promise.commit = Math.max(promise.commit, number)
  }

  seen(topicId: string, partition: number, batch: Uint8Array): void {
    const { shown } = this.#promise(topicId, partition)
    for (const { offset, value } of readRecords(batch)) {
      const text = Buffer.from(value!).toString()
      assert.equal(shown.get(offset) ?? text, text, `offset ${offset} showed something else before`)
      shown.set(offset, text)
    }
  }

  changing(name: string): void {
    this.#changing.add(name)
  }

  changed(name: string, id: string | undefined): void {
    this.#changing.delete(name)
    this.#set(name, id)
  }

  /** A list was shown: a change that it shows can be taken back no more. */
  listed(present: ReadonlyMap<string, string>): void {
    for (const name of this.#changing) {
      const id = present.get(name)
      if (id !== this.#topics.get(name)) this.changed(name, id)
    }
  }

  trimming(topicId: string, partition: number, before: number): void {
    const promise = this.#promise(topicId, partition)
    promise.logStartAsked = Math.max(promise.logStartAsked, before)
  }

  /** Retention is at work: it may move the log start to where its limits say. */
  retaining(topicId: string, partition: number): void {
    this.#promise(topicId, partition).logStartAsked = Infinity
  }

  retained(topicId: string, partition: number, logStart: number): void {
    this.trimmed(topicId, partition, logStart)
    this.#promise(topicId, partition).logStartAsked = logStart
  }

  trimmed(topicId: string, partition: number, logStart: number): void {
    const promise = this.#promise(topicId, partition)
    promise.logStart = Math.max(promise.logStart, logStart)
  }

  /** The process ended; calls without an answer stay open until the next check. */
  endLife(): void {
    // Nothing is decided here on purpose.
  }

  checkTopics(present: ReadonlyMap<string, string>): void {
    for (const [name, id] of this.#topics) {
      if (!this.#changing.has(name)) assert.equal(present.get(name), id, `topic ${name}`)
    }
    for (const [name, id] of present) {
      assert.ok(!this.#deleted.has(id), `topic ${name} ${id} came back from the dead`)
      if (!this.#changing.has(name)) assert.equal(this.#topics.get(name), id, `topic ${name}`)
    }
    for (const name of this.#changing) this.#set(name, present.get(name))
    this.#changing.clear()
  }

  checkPartition(
    topicId: string,
    partition: number,
    logStart: number,
    records: readonly { readonly offset: number; readonly value: string }[],
  ): void {
    const promise = this.#promise(topicId, partition)
    assert.ok(logStart >= promise.logStart, `log start went back to ${logStart}`)
    assert.ok(logStart <= Math.max(promise.logStartAsked, promise.logStart), 'log start ran ahead')
    promise.logStart = promise.logStartAsked = logStart
    const found = new Map(records.map(({ offset, value }) => [offset, value]))
    assert.equal(found.size, records.length, 'an offset came twice')
    for (const [offset, value] of promise.shown) {
      if (offset < logStart) promise.shown.delete(offset)
      else assert.equal(found.get(offset), value, `offset ${offset} was shown and is not there`)
    }
    this.#checkIntents(topicId, partition, logStart, records)
    for (const { offset, value } of records)
      if (offset >= logStart) promise.shown.set(offset, value)
  }

  /** `commits`: the transaction number committed last, by topic id and partition. */
  checkCommits(commits: ReadonlyMap<string, number>): void {
    for (const [key, promise] of this.#partitions) {
      if (this.#isGone(key)) continue
      const committed = commits.get(key) ?? 0
      assert.ok(committed >= promise.commit, `commit of ${key} went back to ${committed}`)
      promise.commit = committed
    }
    for (const transaction of this.#transactions) this.#checkTransaction(transaction, commits)
  }

  /** After a clean stop there is nothing in `logs/` but the folders of living topics. */
  checkFolders(files: readonly string[], ...others: readonly string[]): void {
    const names = new Set([...this.#topics.keys(), ...others])
    for (const file of files) {
      const folder = /^logs\/(.+)-\d+\//.exec(file)?.[1]
      const isOurs = folder?.startsWith('__') === true
      if (folder !== undefined) assert.ok(isOurs || names.has(folder), `left behind: ${file}`)
      assert.ok(!file.startsWith('quarantine/'), `set aside: ${file}`)
    }
  }

  #checkIntents(
    topicId: string,
    partition: number,
    logStart: number,
    records: readonly { readonly offset: number; readonly value: string }[],
  ): void {
    const firstOffsets = new Map<number, number>()
    const counts = new Map<number, number>()
    for (const { offset, value } of records) {
      const [id, number] = value.split('/').map(Number) as [number, number]
      const intent = this.#intents[id]
      const isOurs = intent?.topicId === topicId && intent.partition === partition
      assert.ok(isOurs, `phantom ${value} in ${topicId}-${partition} at ${offset}`)
      assert.notEqual(intent.outcome, 'refused', `refused record ${value} was stored`)
      assert.notEqual(intent.outcome, 'absent', `record ${value} came back`)
      const base = offset - number
      assert.equal(firstOffsets.get(id) ?? base, base, `record ${value} is there twice`)
      firstOffsets.set(id, base)
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    for (const intent of this.#intents) {
      if (intent.topicId !== topicId || intent.partition !== partition) continue
      const base = firstOffsets.get(intent.id)
      if (intent.outcome === 'done') {
        if (intent.offset! + intent.records <= logStart) continue
        assert.equal(base, intent.offset, `acked record ${intent.id} lost or moved`)
      }
      if (base === undefined) {
        if (intent.outcome === 'pending') intent.outcome = 'absent'
        continue
      }
      // A log start may stand inside a batch, which is then delivered whole.
      if (base >= logStart) assert.equal(counts.get(intent.id), intent.records, 'a torn batch')
      if (intent.outcome === 'pending') this.acked(intent, base)
    }
  }

  #checkTransaction(
    { number, intents, hasCommit }: Transaction,
    commits: ReadonlyMap<string, number>,
  ): void {
    // Below a log start, or with its topic, a part may be gone by right.
    const open = intents.filter(({ topicId }) => !this.#deleted.has(topicId))
    const outcomes = new Set(open.map(({ outcome }) => outcome))
    const isTrimmed = open.some(({ topicId, partition, offset, outcome }) => {
      const { logStart } = this.#promise(topicId, partition)
      return outcome === 'absent' ? logStart > 0 : offset !== undefined && offset < logStart
    })
    if (!isTrimmed)
      assert.ok(outcomes.size <= 1, `transaction ${number} is torn: ${[...outcomes].join()}`)
    const first = intents[0]!
    if (this.#deleted.has(first.topicId) || isTrimmed || !hasCommit) return
    const committed = commits.get(`${first.topicId}-${first.partition}`) ?? 0
    if (first.outcome === 'done')
      assert.ok(committed >= number, `commit of transaction ${number} lost`)
    if (committed === number)
      assert.equal(first.outcome, 'done', `commit ${number} without its records`)
  }

  /** A number above all that were committed before. */
  nextCommit(): number {
    return ++this.#lastCommit
  }

  committedAlone(topicId: string, partition: number, offset: number): void {
    const key = `${topicId}-${partition}`
    this.#commits.set(key, Math.max(offset, this.#commits.get(key) ?? 0))
  }

  /** Calls for one partition do not overlap, so what was answered last is the least there may be. */
  checkAlone(commits: ReadonlyMap<string, number>): void {
    for (const [key, offset] of this.#commits) {
      if (this.#isGone(key)) continue
      const found = commits.get(key) ?? 0
      assert.ok(found >= offset, `commit ${offset} of ${key} went back to ${found}`)
      this.#commits.set(key, found)
    }
    for (const [key, offset] of commits) {
      assert.ok(!this.#isGone(key), `commit ${offset} of a deleted topic, ${key}`)
    }
  }

  /** A heartbeat was answered with this epoch. */
  joined(epoch: number): void {
    this.#memberEpoch = epoch
  }

  checkMember(epoch: number | undefined): void {
    if (this.#memberEpoch === 0) return
    assert.ok(epoch !== undefined, `the member of epoch ${this.#memberEpoch} is gone`)
    assert.ok(epoch >= this.#memberEpoch, `epoch ${this.#memberEpoch} went back to ${epoch}`)
  }

  #set(name: string, id: string | undefined): void {
    const before = this.#topics.get(name)
    if (before !== undefined && before !== id) this.#deleted.add(before)
    if (id === undefined) this.#topics.delete(name)
    else this.#topics.set(name, id)
  }

  #isGone(key: string): boolean {
    return ![...this.#topics.values()].some((id) => key.startsWith(`${id}-`))
  }

  #promise(topicId: string, partition: number): PartitionPromise {
    const key = `${topicId}-${partition}`
    let promise = this.#partitions.get(key)
    if (promise === undefined) {
      promise = { logStart: 0, logStartAsked: 0, shown: new Map(), commit: 0 }
      this.#partitions.set(key, promise)
    }
    return promise
  }
}
