/**
 * Where a subscription stands: next offsets by epoch and partition, read from and written as the
 * server's position strings.
 *
 *   1.<epoch>.<partition>-<offset>…             2.<epoch>.<base64url of varints: delta, offset>
 */

export class PositionVector {
  readonly #epochs = new Map<string, Map<number, number>>()

  /** Takes over everything a position says. */
  merge(position: string): void {
    for (const part of position.split('~')) {
      const [version, epoch, ...rest] = part.split('.')
      if (epoch === undefined || epoch === '') continue
      const offsets = this.#offsets(epoch)
      const pairs = version === '2' ? unpack(rest[0] ?? '') : rest.map(readPair)
      for (const [partition, offset] of pairs) offsets.set(partition, offset)
    }
  }

  get(epoch: string, partition: number): number | undefined {
    return this.#epochs.get(epoch)?.get(partition)
  }

  set(epoch: string, partition: number, next: number): void {
    this.#offsets(epoch).set(partition, next)
  }

  /** Forgets a topic. */
  delete(epoch: string): void {
    this.#epochs.delete(epoch)
  }

  /** Forgets the topics that the other one does not name. */
  keepEpochsOf(other: PositionVector): void {
    for (const epoch of this.#epochs.keys()) if (!other.#epochs.has(epoch)) this.delete(epoch)
  }

  copyFrom(other: PositionVector): void {
    this.#epochs.clear()
    for (const [epoch, offsets] of other.#epochs) this.#epochs.set(epoch, new Map(offsets))
  }

  clear(): void {
    this.#epochs.clear()
  }

  /** The position string; undefined while nothing is known. */
  format(): string | undefined {
    if (this.#epochs.size === 0) return undefined
    const parts = [...this.#epochs].map(([epoch, offsets]) => {
      const pairs = [...offsets].sort(([left], [right]) => left - right)
      return pairs.length > readablePartitionsMax
        ? `2.${epoch}.${pack(pairs)}`
        : ['1', epoch, ...pairs.map(([partition, offset]) => `${partition}-${offset}`)].join('.')
    })
    return parts.join('~')
  }

  #offsets(epoch: string): Map<number, number> {
    let offsets = this.#epochs.get(epoch)
    if (offsets === undefined) {
      offsets = new Map<number, number>()
      this.#epochs.set(epoch, offsets)
    }
    return offsets
  }
}

type Pair = readonly [partition: number, offset: number]

/** Beyond it the packed spelling is shorter. */
const readablePartitionsMax = 32

function readPair(text: string): Pair {
  const [partition, offset] = text.split('-')
  return [Number(partition), Number(offset)]
}

/** Zigzag varints: partition as the difference to the one before, then its offset. */
function unpack(text: string): Pair[] {
  const bytes = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  const numbers: number[] = []
  let raw = 0
  let scale = 1
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes.charCodeAt(at)
    raw += (byte & 0x7f) * scale
    scale *= 0x80
    if (byte >= 0x80) continue
    numbers.push(raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2)
    raw = 0
    scale = 1
  }
  const pairs: Pair[] = []
  let partition = 0
  for (let i = 0; i + 1 < numbers.length; i += 2) {
    partition += numbers[i]!
    pairs.push([partition, numbers[i + 1]!])
  }
  return pairs
}

function pack(pairs: readonly Pair[]): string {
  let bytes = ''
  let previous = 0
  for (const [partition, offset] of pairs) {
    for (const number of [partition - previous, offset]) {
      let rest = number * 2
      for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
        bytes += String.fromCharCode((rest % 0x80) | 0x80)
      }
      bytes += String.fromCharCode(rest)
    }
    previous = partition
  }
  return btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
