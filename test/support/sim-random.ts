/** Chance from one number: the same number gives the same run. */
import type { Random } from '../../src/kit/random.ts'
import { seededRandom } from './seeded-random.ts'

export class SimRandom implements Random {
  readonly unit: () => number

  constructor(seed: number) {
    this.unit = seededRandom(seed)
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256))
  }

  /** A whole number in [0, end). */
  below(end: number): number {
    return Math.floor(this.unit() * end)
  }

  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }
}
