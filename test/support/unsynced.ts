/**
 * Loaded into a gateway by `--import` with UNSYNCED=journal or UNSYNCED=segments: a planted bug. The
 * one takes `O_DSYNC` from every file, the other makes every fdatasync succeed without a deed. A
 * programme that cuts the power must find either, or it proves nothing.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const forget = process.env['UNSYNCED']

if (forget === 'journal') {
  const open = fs.open as (...call: unknown[]) => void
  const unsynced = (path: unknown, flags: unknown, ...rest: unknown[]): void =>
    open(path, typeof flags === 'number' ? flags & ~fs.constants.O_DSYNC : flags, ...rest)
  fs.open = unsynced as typeof fs.open
} else if (forget === 'segments') {
  const claim = (_descriptor: number, done: () => void): void => process.nextTick(done)
  fs.fdatasync = claim as typeof fs.fdatasync
} else throw new Error(`UNSYNCED is journal or segments, not '${forget}'.`)
syncBuiltinESMExports()
