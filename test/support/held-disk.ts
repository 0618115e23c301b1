/** A simulated disk on which a test holds chosen operations until it lets them go. */
import { SimDisk } from './sim-disk.ts'

export class HeldDisk extends SimDisk {
  /** Operations that wait, in their order. */
  readonly held: (() => void)[] = []
  isHeld: (what: string, path: string) => boolean = () => false

  constructor() {
    let last: [string, string] = ['', '']
    super({
      schedule: (run) => {
        if (this.isHeld(...last)) this.held.push(run)
        else setImmediate(run)
      },
    })
    this.onOperation = (what, path) => {
      last = [what, path]
    }
  }

  letGo(): void {
    this.isHeld = () => false
    for (const run of this.held.splice(0)) run()
  }
}
