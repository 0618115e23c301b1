/** Waits for what a test expects, as long as that may take and not a moment longer. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves once `holds()` is true; fails with what was awaited after `withinMs`. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Waited ${withinMs} ms in vain for ${what}.`)
    await sleep(2)
  }
}
