/**
 * The truth about a run, kept outside the gateway: what was sent, what was acknowledged and where,
 * what readers saw. After a crash `problems` holds it against what the log gives back:
 * every acknowledged event once at its offset, every other one once or not at all, nothing else.
 */
export interface Placed {
  readonly partition: number
  readonly offset: number
}

export interface ReadBack extends Placed {
  readonly value: Buffer
}

interface Sent {
  readonly value: Buffer
  placed: Placed | undefined
}

export class Ledger {
  readonly #sent = new Map<string, Sent[]>()
  readonly #seen = new Map<string, Map<string, Buffer>>()

  /** To be called before the request leaves. Returns the function to call when it is acknowledged. */
  sending(topic: string, values: readonly Buffer[]): (placed: readonly Placed[]) => void {
    const entries = values.map((value): Sent => ({ value, placed: undefined }))
    listOf(this.#sent, topic).push(...entries)
    return (placed) => {
      if (placed.length !== entries.length) {
        throw new Error(`${entries.length} events were sent, ${placed.length} answered.`)
      }
      for (const [i, entry] of entries.entries()) entry.placed = placed[i]
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
    const at = new Map(content.map((record) => [`${record.partition}/${record.offset}`, record]))
    if (at.size !== content.length) problems.push(`${topic}: an offset was given back twice`)
    problems.push(...holes(topic, content))
    const unclaimed = new Map(at)
    for (const { value, placed } of this.sent(topic)) {
      if (placed === undefined) continue
      const place = `${placed.partition}/${placed.offset}`
      const found = at.get(place)
      if (found === undefined) problems.push(`${topic} ${place}: lost ${head(value)}`)
      else if (!found.value.equals(value)) {
        problems.push(`${topic} ${place}: sent ${head(value)}, found ${head(found.value)}`)
      } else if (!unclaimed.delete(place)) problems.push(`${topic} ${place}: acknowledged twice`)
    }
    problems.push(...this.#strangers(topic, [...unclaimed.values()]))
    for (const [place, value] of this.#seen.get(topic) ?? []) {
      if (at.get(place)?.value.equals(value) !== true) {
        problems.push(`${topic} ${place}: a reader saw ${head(value)}, now it is gone`)
      }
    }
    return problems
  }

  /** Records that no acknowledgement explains must be events whose answer never came, each once. */
  #strangers(topic: string, records: readonly ReadBack[]): string[] {
    const unknown = new Map<string, number>()
    for (const { value, placed } of this.sent(topic)) {
      const text = value.toString('latin1')
      if (placed === undefined) unknown.set(text, (unknown.get(text) ?? 0) + 1)
    }
    const problems: string[] = []
    for (const { partition, offset, value } of records) {
      const text = value.toString('latin1')
      const left = unknown.get(text) ?? 0
      if (left === 0)
        problems.push(`${topic} ${partition}/${offset}: nobody sent ${head(value)} here`)
      else unknown.set(text, left - 1)
    }
    return problems
  }
}

function listOf<T>(map: Map<string, T[]>, key: string): T[] {
  let list = map.get(key)
  if (list === undefined) map.set(key, (list = []))
  return list
}

function holes(topic: string, content: readonly ReadBack[]): string[] {
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
      problems.push(`${topic} partition ${partition}: offset ${i} is missing, ${offset} follows`)
      break
    }
  }
  return problems
}

function head(value: Buffer): string {
  return JSON.stringify(value.subarray(0, 60).toString('utf8'))
}
