/**
 * The truth about a run, kept outside the gateway: what was sent, what was acknowledged and where,
 * what readers saw. After a crash `problems` holds it against what the log gives back:
 * every acknowledged event once at its offset, every other one once or not at all, nothing else; what
 * was sent as a whole is there as a whole or not at all.
 */
export interface Placed {
  readonly partition: number
  readonly offset: number
}

export interface ReadBack extends Placed {
  readonly value: Buffer
}

/** What can be wrong with a log after a crash. */
export const faults = [
  'lost',
  'moved',
  'doubled',
  'alien',
  'hole',
  'seen and gone',
  'torn',
  'answered otherwise',
] as const
export type Fault = (typeof faults)[number]

interface Sent {
  readonly value: Buffer
  placed: Placed | undefined
}

export class Ledger {
  readonly #sent = new Map<string, Sent[]>()
  /** Requests that are all or nothing. */
  readonly #wholes = new Map<string, (readonly Sent[])[]>()
  readonly #repeats: { readonly topic: string; readonly what: string }[] = []
  readonly #seen = new Map<string, Map<string, Buffer>>()
  readonly #faults = new Map<Fault, number>()

  /**
   * To be called before the request leaves. Returns the function to call when it is acknowledged, with
   * undefined for an event that was refused alone; a keyed request may be acknowledged again, and must
   * be as before. `isWhole`: all or nothing.
   */
  sending(
    topic: string,
    values: readonly Buffer[],
    isWhole = false,
  ): (placed: readonly (Placed | undefined)[]) => void {
    const entries = values.map((value): Sent => ({ value, placed: undefined }))
    listOf(this.#sent, topic).push(...entries)
    if (isWhole) listOf(this.#wholes, topic).push(entries)
    return (placed) => {
      if (placed.length !== entries.length) {
        throw new Error(`${entries.length} events were sent, ${placed.length} answered.`)
      }
      for (const [i, entry] of entries.entries()) {
        const before = entry.placed
        entry.placed = placed[i]
        if (before === undefined || isSame(before, placed[i])) continue
        const [first, second] = [JSON.stringify(before), JSON.stringify(placed[i])]
        this.#repeats.push({ topic, what: `${head(entry.value)}: first ${first}, then ${second}` })
      }
    }
  }

  /** A reader was shown this event: it may never be gone again. */
  saw(topic: string, { partition, offset, value }: ReadBack): void {
    let seen = this.#seen.get(topic)
    if (seen === undefined) this.#seen.set(topic, (seen = new Map()))
    seen.set(`${partition}/${offset}`, value)
  }

  get acknowledged(): number {
    return [...this.#sent.values()].flat().filter((entry) => entry.placed !== undefined).length
  }

  get unanswered(): number {
    return [...this.#sent.values()].flat().filter((entry) => entry.placed === undefined).length
  }

  /** How often `problems` has named such a fault. */
  count(fault: Fault): number {
    return this.#faults.get(fault) ?? 0
  }

  topics(): string[] {
    return [...this.#sent.keys()]
  }

  /** Events of a topic that were sent, in the order of sending, with where they were acknowledged. */
  sent(topic: string): readonly { readonly value: Buffer; readonly placed: Placed | undefined }[] {
    return this.#sent.get(topic) ?? []
  }

  /** What is wrong with the whole content of a topic, in words; empty when the promise was kept. */
  problems(topic: string, content: readonly ReadBack[]): string[] {
    const problems: string[] = []
    const found = (fault: Fault, what: string): void => {
      this.#faults.set(fault, this.count(fault) + 1)
      problems.push(`${topic} ${what}`)
    }
    const at = new Map(content.map((record) => [`${record.partition}/${record.offset}`, record]))
    if (at.size !== content.length) found('doubled', 'gave an offset back twice')
    for (const hole of holes(content)) found('hole', hole)
    const unclaimed = new Map(at)
    for (const { value, placed } of this.sent(topic)) {
      if (placed === undefined) continue
      const place = `${placed.partition}/${placed.offset}`
      const there = at.get(place)
      if (there === undefined) found('lost', `${place}: lost ${head(value)}`)
      else if (!there.value.equals(value)) {
        found('moved', `${place}: sent ${head(value)}, found ${head(there.value)}`)
      } else if (!unclaimed.delete(place)) found('doubled', `${place}: acknowledged twice`)
    }
    this.#strangers(topic, [...unclaimed.values()], found)
    const texts = new Set(content.map(({ value }) => value.toString('latin1')))
    for (const whole of this.#wholes.get(topic) ?? []) {
      const there = whole.filter(({ value }) => texts.has(value.toString('latin1'))).length
      if (there === 0 || there === whole.length) continue
      found('torn', `${there} of ${whole.length} are there, beginning at ${head(whole[0]!.value)}`)
    }
    for (const repeat of this.#repeats) {
      if (repeat.topic === topic) found('answered otherwise', repeat.what)
    }
    for (const [place, value] of this.#seen.get(topic) ?? []) {
      if (at.get(place)?.value.equals(value) !== true) {
        found('seen and gone', `${place}: a reader saw ${head(value)}, now it is gone`)
      }
    }
    return problems
  }

  /** Records that no acknowledgement explains must be events whose answer never came, each once. */
  #strangers(
    topic: string,
    records: readonly ReadBack[],
    found: (fault: Fault, what: string) => void,
  ): void {
    const unanswered = new Map<string, number>()
    const sent = new Set<string>()
    for (const { value, placed } of this.sent(topic)) {
      const text = value.toString('latin1')
      sent.add(text)
      if (placed === undefined) unanswered.set(text, (unanswered.get(text) ?? 0) + 1)
    }
    for (const { partition, offset, value } of records) {
      const text = value.toString('latin1')
      const left = unanswered.get(text) ?? 0
      const place = `${partition}/${offset}`
      if (left > 0) unanswered.set(text, left - 1)
      else if (sent.has(text)) found('doubled', `${place}: ${head(value)} stands elsewhere too`)
      else found('alien', `${place}: nobody sent ${head(value)}`)
    }
  }
}

function isSame(one: Placed, other: Placed | undefined): boolean {
  return one.partition === other?.partition && one.offset === other.offset
}

function listOf<T>(map: Map<string, T[]>, key: string): T[] {
  let list = map.get(key)
  if (list === undefined) map.set(key, (list = []))
  return list
}

function holes(content: readonly ReadBack[]): string[] {
  const offsets = new Map<number, number[]>()
  for (const { partition, offset } of content) {
    const list = offsets.get(partition) ?? []
    offsets.set(partition, list)
    list.push(offset)
  }
  const problems: string[] = []
  for (const [partition, list] of offsets) {
    list.sort((left, right) => left - right)
    for (const [i, offset] of list.entries()) {
      if (offset === i) continue
      problems.push(`partition ${partition}: offset ${i} is missing, ${offset} follows`)
      break
    }
  }
  return problems
}

function head(value: Buffer): string {
  return JSON.stringify(value.subarray(0, 60).toString('utf8'))
}
