/** Work on many items, a few at a time. */

/** Runs `work` for each item, `atOnce` at a time; the first failure stops the rest. */
export async function forEachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    try {
      while (next < items.length) await work(items[next++]!)
    } catch (error) {
      next = items.length
      throw error
    }
  }
  // All come to rest before the failure is told: whoever tries again must be alone.
  const workers = await Promise.allSettled(Array.from({ length: atOnce }, worker))
  for (const outcome of workers) if (outcome.status === 'rejected') throw outcome.reason
}
