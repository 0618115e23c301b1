/**
 * Loaded with `--import` before everything else: replaces exact pieces of our source while modules
 * load, so that a test can be seen to fail. The source itself has no switches. Says at the end, on
 * descriptor 3, which edits were in code that was loaded and how much CPU time the process took.
 */
import { writeSync } from 'node:fs'
import { registerHooks } from 'node:module'
import type { Edit } from './planted.ts'

const root = new URL('../../', import.meta.url)
const edits = JSON.parse(process.env['EBBGATE_PLANTED'] ?? '[]') as Edit[]
const made = new Set<Edit>()

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const here = edits.filter(({ file }) => new URL(file, root).href === url)
    if (here.length === 0) return loaded
    let source = Buffer.from(loaded.source as Uint8Array).toString('utf8')
    for (const edit of here) {
      const pieces = source.split(edit.find)
      if (pieces.length !== 2) {
        throw new Error(`${edit.file} has ${pieces.length - 1} places, not one: ${edit.find}`)
      }
      source = pieces.join(edit.replace)
      made.add(edit)
    }
    return { ...loaded, source }
  },
})

process.on('exit', () => {
  const { user, system } = process.cpuUsage()
  const cpuMs = Math.round((user + system) / 1000)
  writeSync(3, JSON.stringify({ made: made.size, cpuMs }))
})
