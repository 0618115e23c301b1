/** A wait that keeps the process alive, unlike the Clock's timers: there is nothing else that would. */
export function waitAlive(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    // eslint-disable-next-line no-restricted-globals -- see above
    setTimeout(resolve, delayMs)
  })
}
