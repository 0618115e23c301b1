/** What a group coordinator needs around it: a journal that acknowledges later, and a catalog. */
import type { Watch } from '../../src/engine/call.ts'
import type { GroupCatalog, GroupTopic } from '../../src/engine/embedded/group/group-catalog.ts'
import type {
  JournalWriter,
  StateEntry,
  StateMachine,
} from '../../src/engine/embedded/journal/state-machine.ts'

/** Keeps what was written; each frame is durable a turn after it was handed over. */
export class TurnJournal implements JournalWriter {
  readonly entries: StateEntry[] = []
  /** Log time; a call of `logTimeMs` moves it. */
  timeMs = 1_000
  #last: Promise<void> = Promise.resolve()

  refusal(): undefined {
    return undefined
  }

  write(entries: readonly StateEntry[]): Promise<void> {
    this.entries.push(...entries)
    this.#last = new Promise((resolve) => setImmediate(resolve))
    return this.#last
  }

  settled(): Promise<void> {
    return this.#last
  }

  logTimeMs(): number {
    return this.timeMs++
  }

  /** What recovery does: the machines hear every entry again. */
  replay(machines: readonly StateMachine[], from = 0): void {
    for (const { kind, payload } of this.entries.slice(from)) {
      machines.find((machine) => machine.kind === kind)?.apply(payload)
    }
  }
}

export class MapCatalog implements GroupCatalog {
  readonly #topics = new Map<string, GroupTopic>()
  readonly #watchers = new Set<() => void>()
  readonly #deleteListeners: ((topicId: string) => void)[] = []
  #made = 0

  topic(name: string): GroupTopic | undefined {
    return this.#topics.get(name)
  }

  topicById(id: string): GroupTopic | undefined {
    return [...this.#topics.values()].find((topic) => topic.id === id)
  }

  topics(): Iterable<GroupTopic> {
    return this.#topics.values()
  }

  watch(onChange: () => void): Watch {
    this.#watchers.add(onChange)
    return { close: () => void this.#watchers.delete(onChange) }
  }

  onDelete(listener: (topicId: string) => void): void {
    this.#deleteListeners.push(listener)
  }

  create(name: string, partitions: number): GroupTopic {
    const topic = { name, partitions, id: `${name}-id-${++this.#made}` }
    this.#topics.set(name, topic)
    this.#tell()
    return topic
  }

  grow(name: string, partitions: number): void {
    this.#topics.set(name, { ...this.#topics.get(name)!, partitions })
    this.#tell()
  }

  delete(name: string): void {
    const { id } = this.#topics.get(name)!
    this.#topics.delete(name)
    for (const listener of this.#deleteListeners) listener(id)
    this.#tell()
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}
