import { MemorySessionStore } from '../../src/consume/memory-session-store.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { sessionStoreSuite } from './session-store-suite.ts'

sessionStoreSuite('memory', () => {
  const clock = new ManualClock()
  const store = new MemorySessionStore({ clock })
  return Promise.resolve({
    stores: [store, store],
    pass: (ms) => {
      clock.advance(ms)
      return Promise.resolve()
    },
    close: () => store.close(),
  })
})
