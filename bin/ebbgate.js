#!/usr/bin/env node
// Plain JavaScript without a build step, so that a Node which is too old can still say so, and so
// that `npx ebbgate` is the same command in a checkout (src/) and in the installed package (dist/).
import { existsSync } from 'node:fs'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major > 22 || (major === 22 && minor >= 22)) {
  const source = new URL('../src/main.ts', import.meta.url)
  await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href)
} else {
  console.error(
    `Ebbgate needs Node 22.22 or newer and this is ${process.versions.node}. ` +
      'In a checkout, npx ebbgate and npm start use the Node 24 that npm ci installed.',
  )
  process.exitCode = 1
}
